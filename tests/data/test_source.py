"""Prepared datasets are read without TensorFlow, and a missing one says how to get it."""

import json
import sys

import cv2
import numpy as np
import pytest
from tiny_datasets import NUM_CLASSES, index_of, prepare

from pretrainjax.data.image import decode
from pretrainjax.data.source import CATALOGUE, Source
from pretrainjax.errors import UserError


def test_records_are_the_packed_images_and_their_classes(data_dir):
  source = Source("shapes", "train", data_dir)
  assert len(source) == 22 and source.has_labels
  assert source.class_names == tuple("abcd") and source.image_shape == (6, 6, 1)
  found = {}
  for packed, label in source.records(range(22)):
    assert isinstance(packed, bytes)
    found[index_of(decode(packed))] = label
  assert found == {i: i % NUM_CLASSES for i in range(22)}


def test_one_record_is_the_same_as_among_others(data_dir):
  source = Source("shapes", "train", data_dir)
  together = source.records(np.array([5, 2, 9]))
  assert together == [source.records([i])[0] for i in (5, 2, 9)]


def test_labels_are_those_of_the_records(data_dir):
  source = Source("shapes", "train", data_dir)
  assert source.labels.dtype == np.int32
  assert source.labels.tolist() == [label for _, label in source.records(range(22))]


def test_without_labels_there_are_none(data_dir):
  source = Source("bare", "train", data_dir)
  assert not source.has_labels and source.class_names == ()
  assert {label for _, label in source.records(range(7))} == {None}


def test_splits_are_in_the_language_of_tfds(data_dir):
  whole = Source("shapes", "train", data_dir)
  parts = [Source("shapes", part, data_dir) for part in ("train[:25%]", "train[25%:]")]
  assert sum(map(len, parts)) == 22
  together = [r for part in parts for r in part.records(range(len(part)))]
  assert together == whole.records(range(22))
  assert len(Source("shapes", "train+test", data_dir)) == 27


def test_a_bad_split_is_named_with_the_nearest(data_dir):
  with pytest.raises(UserError, match="'trains' is no split of shapes; did you mean 'train'?"):
    len(Source("shapes", "trains", data_dir))
  with pytest.raises(UserError, match="'train\\[:x%\\]' is no split of shapes") as caught:
    len(Source("shapes", "train[:x%]", data_dir))
  assert "\n" not in str(caught.value)


def test_a_missing_set_of_ours_names_its_command(tmp_path):
  with pytest.raises(UserError) as caught:
    len(Source("fashion_mnist", "train", tmp_path))
  command = f"python -m pretrainjax.prepare fashion_mnist --data_dir={tmp_path}"
  assert str(caught.value).endswith(f"prepare it: {command}")


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_missing_set_of_the_catalogue_names_its_command(name, tmp_path):
  with pytest.raises(UserError) as caught:
    len(Source(name, "train", tmp_path))
  message = str(caught.value)
  assert f"tfds build {name} --file_format=array_record --data_dir={tmp_path}" in message
  assert "pip install 'pretrainjax[prepare]'" in message and "\n" not in message


def test_an_unknown_set_is_named_with_the_nearest(data_dir):
  with pytest.raises(UserError, match="no dataset 'shape' in .*; did you mean 'shapes'?"):
    len(Source("shape", "train", data_dir))
  with pytest.raises(UserError, match="did you mean 'cifar10'?"):
    len(Source("cifar_10", "train", data_dir))


def test_the_newest_version_is_read(tmp_path):
  prepare("shapes", tmp_path, count=3)
  old = tmp_path / "shapes" / "1.0.0"
  newer = tmp_path / "shapes" / "1.10.0"
  old.rename(newer)
  for path in newer.glob("*.json"):
    path.write_text(path.read_text().replace("1.0.0", "1.10.0"))
  prepare("shapes", tmp_path, count=4)
  old.rename(tmp_path / "shapes" / "1.9.0")
  for path in (tmp_path / "shapes" / "1.9.0").glob("*.json"):
    path.write_text(path.read_text().replace("1.0.0", "1.9.0"))
  assert len(Source("shapes", "train", tmp_path)) == 3


def test_nothing_of_it_needs_tensorflow(data_dir):
  Source("shapes", "train", data_dir).records([0])
  assert "tensorflow" not in sys.modules and cv2 is not None


def test_another_file_format_is_named_with_the_way_out(tmp_path):
  prepare("shapes", tmp_path, count=3)
  path = tmp_path / "shapes" / "1.0.0" / "dataset_info.json"
  path.write_text(path.read_text().replace("array_record", "tfrecord"))
  with pytest.raises(UserError, match="written as tfrecord, expected array_record") as caught:
    len(Source("shapes", "train", tmp_path))
  assert "tfds convert_format" in str(caught.value) and "\n" not in str(caught.value)


def test_a_set_without_images_is_refused(tmp_path):
  prepare("shapes", tmp_path, count=3)
  path = tmp_path / "shapes" / "1.0.0" / "features.json"
  features = json.loads(path.read_text())
  columns = features["featuresDict"]["features"]
  columns["picture"] = columns.pop("image")
  path.write_text(json.dumps(features))
  with pytest.raises(UserError, match="'shapes' has features .*picture.*, expected an 'image'"):
    len(Source("shapes", "train", tmp_path))

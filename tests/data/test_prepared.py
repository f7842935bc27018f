"""Prepared datasets are read without TensorFlow, and a missing one says how to get it."""

import sys

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tiny_datasets import NUM_CLASSES, index_of, prepare

from pretrainjax.data.decode import decode
from pretrainjax.data.prepared import CATALOGUE, OURS, PreparedSplit
from pretrainjax.errors import UserError


def packed(records: list) -> list[bytes]:
  return [fields["image"].bytes_list.value[0] for fields in records]


def test_records_are_the_packed_images_and_their_classes(data_dir):
  source = PreparedSplit("shapes", "train", data_dir)
  assert len(source) == 22 and source.has_labels
  assert source.class_names == tuple("abcd") and source.shape("image") == (6, 6, 1)
  found = {}
  for fields in source.records(range(22)):
    packed = fields["image"].bytes_list.value[0]
    assert isinstance(packed, bytes)
    found[index_of(decode(packed))] = source.label(fields)
  assert found == {i: i % NUM_CLASSES for i in range(22)}


def test_one_record_is_the_same_as_among_others(data_dir):
  source = PreparedSplit("shapes", "train", data_dir)
  together = source.records(np.array([5, 2, 9]))
  assert packed(together) == [packed(source.records([i]))[0] for i in (5, 2, 9)]


def test_labels_are_those_of_the_records(data_dir):
  source = PreparedSplit("shapes", "train", data_dir)
  assert source.labels.dtype == np.int32
  assert source.labels.tolist() == [source.label(f) for f in source.records(range(22))]


def test_without_labels_there_are_none(data_dir):
  source = PreparedSplit("bare", "train", data_dir)
  assert not source.has_labels and source.class_names == ()
  assert {source.label(fields) for fields in source.records(range(7))} == {None}


def test_splits_are_in_the_language_of_tfds(data_dir):
  whole = PreparedSplit("shapes", "train", data_dir)
  parts = [PreparedSplit("shapes", part, data_dir) for part in ("train[:25%]", "train[25%:]")]
  assert sum(map(len, parts)) == 22
  together = [r for part in parts for r in part.records(range(len(part)))]
  assert packed(together) == packed(whole.records(range(22)))
  assert len(PreparedSplit("shapes", "train+test", data_dir)) == 27


def test_a_bad_split_is_named_with_the_nearest(data_dir):
  with pytest.raises(UserError, match="'trains' is no split of shapes; did you mean 'train'?"):
    len(PreparedSplit("shapes", "trains", data_dir))
  with pytest.raises(UserError, match="'train\\[:x%\\]' is no split of shapes") as caught:
    len(PreparedSplit("shapes", "train[:x%]", data_dir))
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OURS)
def test_a_missing_set_of_ours_names_its_command(name, tmp_path):
  with pytest.raises(UserError) as caught:
    len(PreparedSplit(name, "train", tmp_path))
  command = f"python -m pretrainjax.prepare {name} --data_dir={tmp_path}"
  assert str(caught.value).endswith(f"prepare it: {command}")


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_missing_set_of_the_catalogue_names_its_command(name, tmp_path):
  with pytest.raises(UserError) as caught:
    len(PreparedSplit(name, "train", tmp_path))
  message = str(caught.value)
  assert f"tfds build {name} --file_format=array_record --data_dir={tmp_path}" in message
  assert "pip install 'pretrainjax[prepare]'" in message and "\n" not in message


def test_an_unknown_set_is_named_with_the_nearest(data_dir):
  with pytest.raises(UserError, match="no dataset 'shape' in .*; did you mean 'shapes'?"):
    len(PreparedSplit("shape", "train", data_dir))
  with pytest.raises(UserError, match="did you mean 'cifar10'?"):
    len(PreparedSplit("cifar_10", "train", data_dir))


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
  assert len(PreparedSplit("shapes", "train", tmp_path)) == 3


def test_nothing_of_it_needs_tensorflow(data_dir):
  PreparedSplit("shapes", "train", data_dir).records([0])
  assert "tensorflow" not in sys.modules and cv2 is not None


def test_another_file_format_is_named_with_the_way_out(tmp_path):
  prepare("shapes", tmp_path, count=3)
  path = tmp_path / "shapes" / "1.0.0" / "dataset_info.json"
  path.write_text(path.read_text().replace("array_record", "tfrecord"))
  with pytest.raises(UserError, match="written as tfrecord, expected array_record") as caught:
    len(PreparedSplit("shapes", "train", tmp_path))
  assert "tfds convert_format" in str(caught.value) and "\n" not in str(caught.value)


def test_a_set_without_a_feature_is_refused(tmp_path):
  prepare("shapes", tmp_path, count=3)
  source = PreparedSplit("shapes", "train", tmp_path)
  source.expect("image", tfds.features.Image)
  assert source.has("image") and not source.has("tokens")
  with pytest.raises(UserError, match="'shapes' has features .*image.*, expected a 'tokens'"):
    source.expect("tokens", tfds.features.Tensor)
  with pytest.raises(UserError, match="expected an 'image'"):
    source.expect("image", tfds.features.ClassLabel)


def test_what_prepare_noted_is_read_or_missed(tmp_path):
  prepare("shapes", tmp_path, count=3)
  (tmp_path / "shapes" / "1.0.0" / "prepared.json").unlink()
  with pytest.raises(UserError, match="'shapes' has no readable prepared.json in .*No such file"):
    _ = PreparedSplit("shapes", "train", tmp_path).prepared
  note = tmp_path / "shapes" / "1.0.0" / "prepared.json"
  note.write_text('{"length": 7}')
  assert PreparedSplit("shapes", "train", tmp_path).prepared == {"length": 7}
  note.write_text("{")
  with pytest.raises(UserError, match="no JSON"):
    _ = PreparedSplit("shapes", "train", tmp_path).prepared


@pytest.mark.parametrize("split", ["train[:0]", "train[5:3]", "train[:1%]"])
def test_a_split_of_nothing_is_told_as_such(data_dir, split):
  with pytest.raises(UserError, match="holds no example, expected one at least"):
    len(PreparedSplit("shapes", split, data_dir))


@pytest.mark.parametrize("text", ["[]", "3", "null", "[" * 100_000])
def test_what_prepare_did_not_note_is_not_read_as_such(tmp_path, text):
  prepare("shapes", tmp_path, count=4)
  source = PreparedSplit("shapes", "train", tmp_path)
  (source.folder / "prepared.json").write_text(text)
  with pytest.raises(UserError, match=r"no readable prepared.json .*(no JSON|no record of facts)"):
    _ = source.prepared

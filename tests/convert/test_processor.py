import json

import pytest

from pretrainjax.convert.processor import NEW, OLD, read_statistics, write_statistics
from pretrainjax.errors import UserError


def read(folder, facts, name=OLD):
  (folder / name).write_text(json.dumps(facts))
  return read_statistics(folder, inside=folder, num_channels=3)


def test_there_and_back(tmp_path):
  facts = write_statistics(mean=(0.5,), std=(0.1, 0.2, 0.3), size=(4, 6), num_channels=3)
  assert facts["size"] == {"height": 4, "width": 6}
  expected = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.1, 0.2, 0.3)}
  assert read(tmp_path, facts) == expected


def test_version_5_has_another_file(tmp_path):
  facts = {"image_processor": {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}}
  assert read(tmp_path, facts, NEW) == {"image_mean": (0, 0, 0), "image_std": (1, 1, 1)}


def test_without_a_file_or_scaling(tmp_path):
  assert read_statistics(tmp_path, inside=tmp_path, num_channels=3) == {}
  assert read(tmp_path, {"do_normalize": False}) == {"image_mean": (0.0,), "image_std": (1.0,)}


def test_clip_scales_by_its_own_numbers_where_none_are_said(tmp_path):
  (tmp_path / OLD).write_text('{"image_std": [1, 2, 3]}')
  usual = {"num_channels": 3, "mean": (0.1, 0.2, 0.3), "std": (0.5,)}
  found = read_statistics(tmp_path, inside=tmp_path, **usual)
  assert found == {"image_mean": (0.1, 0.2, 0.3), "image_std": (1, 2, 3)}
  facts = {"size": (4, 4), "num_channels": 3, "mean": (0.5,), "std": (0.5,)}
  for kind, expected in (("CLIPModel", "CLIP"), ("SiglipModel", "Siglip"), ("ViTModel", "ViT")):
    written = write_statistics(**facts, kind=kind)
    assert written["image_processor_type"] == f"{expected}ImageProcessor"
    assert ("do_center_crop" in written) == (kind == "CLIPModel")


@pytest.mark.parametrize(
  ("facts", "is_told"),
  [
    ({"size": {"height": 6, "width": 4}}, True),
    ({"size": {"height": 4, "width": 4}}, False),
    ({"size": 5, "do_center_crop": True, "crop_size": 4}, False),
    ({"size": {"shortest_edge": 9}}, False),
    ({"size": 5}, True),
  ],
)
def test_another_size_of_images_is_told(facts, is_told, tmp_path, caplog):
  (tmp_path / OLD).write_text(json.dumps(facts))
  read_statistics(tmp_path, inside=tmp_path, num_channels=3, size=4)
  assert ("the encoder reads 4 x 4" in caplog.text) == is_told


@pytest.mark.parametrize(
  "facts, reason",
  [
    ({"rescale_factor": 1.0}, "rescale_factor: found 1.0, expected 1/255"),
    ({"do_rescale": False}, "do_rescale: found False"),
    ({"image_mean": [0.5]}, "image_mean: found .*3 numbers"),
    ({"image_std": [0.5, 0.5, 0.0]}, "image_std: found"),
    ({"image_mean": ["x", 1, 2]}, "image_mean: found"),
    ([], "is no dictionary"),
  ],
)
def test_what_our_encoders_do_not_have_is_refused(facts, reason, tmp_path):
  with pytest.raises(UserError, match=reason):
    read(tmp_path, facts)

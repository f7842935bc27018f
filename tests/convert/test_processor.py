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

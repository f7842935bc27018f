import numpy as np
import pytest

from pretrainjax.evaluators.absent_classes import counted
from pretrainjax.evaluators.features import Features

LABELS = np.array([0, 1, 2, 1, 3], np.int32)
TEST = Features(np.arange(10, dtype=np.float32).reshape(5, 2), LABELS)
TRAIN = np.array([0, 0, 1], np.int32)


def choose(labels=TRAIN, *, test=TEST, **changes):
  options = {"num_classes": 4, "absent_classes": "wrong", "name": "p"}
  return counted(test, labels, **(options | changes))


def test_where_every_class_is_known_nothing_is_said(caplog):
  assert choose(np.arange(4)) == (TEST, {}) and not caplog.records


def test_by_default_all_are_tested_and_the_share_is_a_number(caplog):
  found, numbers = choose()
  assert found is TEST and numbers == {"of_absent_classes": 0.4}
  assert "p: train has no example of 2 of 4 classes; 2 of 5 test" in caplog.text
  assert "count as errors" in caplog.text


def test_they_are_left_out_on_request(caplog):
  found, numbers = choose(absent_classes="left_out")
  assert found.labels.tolist() == [0, 1, 1] and found.features[:, 0].tolist() == [0, 2, 6]
  assert numbers == {"of_absent_classes": 0.4} and "are left out" in caplog.text
  unknown = Features(TEST.features[2:3], LABELS[2:3])
  with pytest.raises(ValueError, match="no example of a class that train has"):
    choose(test=unknown, absent_classes="left_out")

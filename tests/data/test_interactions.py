"""Splits of interactions as flat arrays, and what is refused."""

import numpy as np
import pytest

from pretrainjax.data.interactions import Interactions
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from tests.support.interactions import asked, trained, write_interactions


def read(folder, split):
  return Interactions.read(PreparedSplit.at(folder, split=split))


def test_a_split_is_read_as_flat_arrays(tmp_path):
  test = [asked(2, [], 4, target_time=50, num_train=0), asked(0, [1, 2], 3, [7, -9], target_time=8)]
  folder = write_interactions(tmp_path / "log", {"train": [[1, 2], [3]], "test": test})

  train = read(folder, "train")
  assert (train.num_items, train.num_users, len(train)) == (4, 3, 2)
  np.testing.assert_array_equal(train.offsets, [0, 2, 3])
  np.testing.assert_array_equal(train.items[train.row(0)], [1, 2])
  np.testing.assert_array_equal(train.targets, [0, 0])
  np.testing.assert_array_equal(train.num_train, [2, 1])

  found = read(folder, "test")
  np.testing.assert_array_equal(found.users, [2, 0])
  np.testing.assert_array_equal(found.offsets, [0, 0, 2])
  np.testing.assert_array_equal(found.times, [7, -9])
  np.testing.assert_array_equal(found.targets, [4, 3])
  np.testing.assert_array_equal(found.target_times, [50, 8])
  np.testing.assert_array_equal(found.num_train, [0, 2])


def test_training_events_after_the_cut_are_refused(tmp_path):
  rows = {"train": [trained(0, [1, 2], [10, 20])], "test": [asked(0, [1, 2], 1, [10, 20])]}
  just = write_interactions(tmp_path / "just", rows, protocol={"split": "temporal", "cut": 21})
  assert len(read(just, "train").items) == 2
  late = write_interactions(tmp_path / "late", rows, protocol={"split": "temporal", "cut": 20})
  with pytest.raises(UserError, match="'late' has 1 training events at or after 20"):
    read(late, "train")
  assert len(read(late, "test").items) == 2


@pytest.mark.parametrize(
  ("row", "num_items", "reason"),
  [
    (trained(0, [1, 5]), 4, "an item that is not in 1 to 4"),
    (trained(0, [0, 1]), 4, "an item that is not in 1 to 4"),
    (trained(3, [1]), 4, "user 3 of 2"),
    (trained(0, [1, 2], [1]), 4, "2 items, 1 times"),
  ],
)
def test_a_damaged_record_is_refused(tmp_path, row, num_items, reason):
  folder = write_interactions(tmp_path / "log", {"train": [row]}, num_items=num_items, num_users=2)
  with pytest.raises(UserError, match=reason):
    read(folder, "train")


def test_a_set_of_another_kind_is_refused(tmp_path):
  folder = write_interactions(tmp_path / "log", {"train": [[1]]}, facts={"kind": "texts"})
  with pytest.raises(UserError, match="kind='texts', expected 'interactions'"):
    read(folder, "train")

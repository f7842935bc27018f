import numpy as np
import pytest
from interactions import asked, trained, write_interactions
from item_sets import split, write_tastes

from pretrainjax.errors import UserError
from pretrainjax.predict.item_log import ItemLog


def log_of(data_dir, rows, **options) -> ItemLog:
  write_interactions(data_dir / "films", rows, **options)
  return ItemLog(split(data_dir, "train").sources[0])


def test_records_of_a_long_history_are_joined_in_time(tmp_path):
  rows = {"train": [trained(1, [5, 6], [3, 4]), trained(0, [2]), trained(1, [1, 2], [1, 2])]}
  log = log_of(tmp_path, rows, num_users=3)
  events = log.all_events(1)
  assert events.items.tolist() == [1, 2, 5, 6] and events.times.tolist() == [1, 2, 3, 4]
  assert len(log.all_events(2).items) == 0


def test_what_was_held_out_is_known_by_now(tmp_path):
  rows = {
    "train": [trained(0, [1, 2], [1, 2])],
    "validation": [asked(0, [1, 2], 3, [1, 2], target_time=5)],
    "test": [asked(0, [1, 2, 3], 4, [1, 2, 5], target_time=9)],
  }
  events = log_of(tmp_path, rows).all_events(0)
  assert events.items.tolist() == [1, 2, 3, 4] and events.times.tolist() == [1, 2, 5, 9]


def test_popularity_is_that_of_training(tmp_path):
  rows = {"train": [trained(0, [1, 2, 2], [0, 10**7, 10**7])], "test": [asked(0, [1], 3)]}
  log = log_of(tmp_path, rows, num_items=3)
  np.testing.assert_array_equal(np.floor(log.popular(days=7.0)), [0, 0, 2, 0])
  np.testing.assert_array_equal(np.floor(log.popular(days=1000.0)), [0, 1, 2, 0])


def test_a_damaged_table_and_a_set_of_something_else_are_one_line(tmp_path):
  (write_tastes(tmp_path) / "users.jsonl").unlink()
  with pytest.raises(UserError, match="--datasets: '.*users.jsonl'"):
    ItemLog(split(tmp_path, "train").sources[0])

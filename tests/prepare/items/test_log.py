"""What is counted before records are written is what is written."""

import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2

from pretrainjax.data.interactions import history_of
from pretrainjax.prepare.items import sorting
from pretrainjax.prepare.items.core import core_of
from pretrainjax.prepare.items.events import EVENT
from pretrainjax.prepare.items.log import Log, counted, load_masks, records, save_masks
from pretrainjax.prepare.items.sorting import RAW, sort_events
from pretrainjax.prepare.items.splits import Splits
from pretrainjax.prepare.stages.journal import open_journal


@pytest.fixture
def log(tmp_path, monkeypatch):
  monkeypatch.setattr(sorting, "_PART_EVENTS", 80)
  rng = np.random.default_rng(0)
  events = np.zeros(500, EVENT)
  events["user"], events["item"] = rng.integers(0, 30, 500), rng.zipf(1.5, 500).clip(0, 40)
  events["time"] = rng.integers(0, 60, 500) * 1_000_000 + rng.integers(0, 1_000_000, 500)
  events.tofile(tmp_path / RAW)
  with open_journal(tmp_path) as journal:
    how = {"num_users": 30, "seed": 0, "keep_duplicates": True}
    found = sort_events(tmp_path, journal, **how)
  least = {"min_user_events": 5, "min_item_events": 5}
  core = core_of(found.parts, num_users=30, num_items=41, drop_repeats=False, **least)
  facts = save_masks(tmp_path, core)
  kept = load_masks(tmp_path, facts)
  assert all(np.array_equal(a, b) for a, b in zip(core, kept, strict=True))
  return Log(found, kept, False, True)


@pytest.mark.parametrize("target", ["last", "successive"])
def test_sizes_are_those_of_the_records(log, target):
  splits = Splits(target=target, max_record=9)
  cuts = splits.cuts(log.times)
  found = counted(log, splits, cuts)
  of_items, of_users = np.zeros(log.num_items + 1, int), np.zeros(log.num_users, int)
  for split, (size, _) in found.sizes.items():
    written = list(records(log, splits, cuts, split=split, start=0))
    assert len(written) == size
    for start in (1, size // 2, size):  # what a run that was stopped goes on with
      assert list(records(log, splits, cuts, split=split, start=start)) == written[start:]
    rows = [history_of(tf_example_pb2.Example.FromString(r).features.feature) for r in written]
    if split == "train":
      assert found.events[split] == sum(len(row.items) for row in rows)
      assert found.longest == max(len(row.items) for row in rows) == 9
      for row in rows:
        np.add.at(of_items, row.items, 1)
        of_users[row.user] += len(row.items)
    else:
      assert found.events[split] == size
      assert found.cold[split] == sum(row.num_train == 0 for row in rows)
  np.testing.assert_array_equal(found.of_items, of_items[1:])
  np.testing.assert_array_equal(found.of_users, of_users)

import dataclasses
import json

import numpy as np
import pytest
from interactions import write_interactions
from item_sets import NUM_ITEMS, NUM_USERS, recommender, split, write_tastes

from pretrainjax.errors import UserError
from pretrainjax.evaluators.ranking import Ranking
from pretrainjax.evaluators.ranking_base import described, read_split, taken

TEMPORAL = {
  **{"split": "temporal", "quantile": 0.9, "cut": 100, "target": "last", "validation": "time"},
  **{"min_user_events": 5, "min_item_events": 5, "min_rating": 4.0},
  "consecutive_repeats": "dropped",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return data_dir


def test_taken_records_keep_their_events(folder):
  rows = read_split(split(folder, "test"), field="data")
  some = taken(rows, np.array([19, 3, 18]))
  assert [some.items[some.row(i)].tolist() for i in range(3)] == [
    rows.items[rows.row(i)].tolist() for i in (19, 3, 18)
  ]
  assert some.targets.tolist() == rows.targets[[19, 3, 18]].tolist() and len(some) == 3


def test_a_subset_is_that_of_other_evaluators(folder):
  """The network is asked of the same examples as the ranking."""
  found = Ranking(data=split(folder, "test"), max_examples=5, seed=3)
  assert len(found.rows) == 5 and found.outcome(recommender()).metrics["mrr"] > 0
  assert len({tuple(dataclasses.replace(found, seed=s).rows.users) for s in range(4)}) > 1


def test_the_protocol_says_what_numbers_depend_on(folder, tmp_path):
  found = Ranking(data=split(folder, "test"), k=(5, 10), seen="shown").protocol()
  assert json.dumps(found)
  assert found["log"] == "leave_one_out; users of 1 events, items of 1"
  assert found["num_examples"] == NUM_USERS and found["num_cold"] == 2
  assert found["candidates"] == f"all {NUM_ITEMS} items" and found["k"] == [5, 10]
  assert found["seen"] == "shown" and found["ties"] == "half of the others count as above"
  assert described(TEMPORAL) == (
    "temporal (quantile 0.9, cut 100, target last, validation time); users of 5 events, items of "
    "5; rating at least 4; without consecutive repeats"
  )


def test_a_split_without_targets_and_several_sets_are_refused(folder, tmp_path):
  with pytest.raises(ValueError, match="data: found split 'train', expected one with targets"):
    _ = Ranking(data=split(folder, "train")).rows
  rows = {"train": [[1, 2]], "test": [[1, 2, 2]]}
  for name in ("a", "b"):
    write_interactions(tmp_path / name, rows)
  with pytest.raises(ValueError, match="data: found a, b, expected one set"):
    _ = Ranking(data=split(tmp_path, "test", datasets="a,b")).rows


def test_a_damaged_table_of_items_is_one_line(tmp_path):
  (write_tastes(tmp_path) / "items.jsonl").write_text("{")
  with pytest.raises(UserError, match="items.jsonl"):
    _ = Ranking(data=split(tmp_path, "test")).counts

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from interactions import asked, trained, write_interactions
from item_sets import NUM_ITEMS, split, write_tastes

from pretrainjax.errors import UserError
from pretrainjax.evaluators.item_baseline import (
  ItemBaseline,
  event_counts,
  history_pairs,
  user_pairs,
)
from pretrainjax.evaluators.ranking_base import read_split


@dataclasses.dataclass(frozen=True, kw_only=True)
class Favourite(ItemBaseline):
  """Puts one item first."""

  name: str = "favourite"
  item: tuple[int, ...] = (1,)
  tuned: ClassVar[tuple[str, ...]] = ("item",)

  def fitted(self, train, **options):
    row = np.zeros(train.num_items + 1, np.float32)
    row[options["item"]] = 1
    return lambda rows, part: np.tile(row, (part.stop - part.start, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return data_dir


def test_values_are_chosen_on_validation_alone(tmp_path):
  """Item 2 is always right in validation, item 3 in test."""
  rows = {
    "train": [trained(user, [1, 4]) for user in range(4)],
    "validation": [asked(user, [1, 4], 2) for user in range(4)],
    "test": [asked(user, [1, 4, 2], 3) for user in range(4)],
  }
  write_interactions(tmp_path / "films", rows, num_items=9)
  data = {name: split(tmp_path, name) for name in ("train", "validation")}
  found = Favourite(data=split(tmp_path, "test"), **data, item=(1, 2, 3), k=(1,))
  outcome = found.run(None)
  assert outcome["item"] == 2.0 and outcome["ndcg@1"] == 0.0
  assert dataclasses.replace(found, item=(3,)).run(None)["ndcg@1"] == 1.0


def test_several_values_need_a_validation_split(folder):
  data = {"data": split(folder, "test"), "train": split(folder, "train")}
  with pytest.raises(ValueError, match="item: found several values, and no validation split"):
    Favourite(**data, item=(1, 2))
  assert Favourite(**data).protocol()["features"].startswith("none")


def test_nothing_is_counted_in_what_is_tested(folder):
  with pytest.raises(ValueError, match="train.split: found 'test', expected 'train'"):
    Favourite(data=split(folder, "test"), train=split(folder, "test"))
  Favourite(data=split(folder, "test"), train=split(folder, "train[:5]"))


def test_events_at_or_after_the_cut_are_refused(tmp_path):
  rows = {"train": [trained(0, [1, 2, 3], [1, 2, 9])], "test": [asked(0, [1, 2, 3], 1)]}
  write_interactions(tmp_path / "films", rows, protocol={"split": "temporal", "cut": 9})
  baseline = Favourite(data=split(tmp_path, "test"), train=split(tmp_path, "train"))
  with pytest.raises(UserError, match="1 training events at or after 9"):
    baseline.run(None)


def test_pairs_are_distinct_and_records_of_a_user_are_one(tmp_path):
  rows = {"train": [trained(1, [3, 1, 3]), trained(0, [2]), trained(1, [4, 1])]}
  write_interactions(tmp_path / "films", rows, num_users=3)
  train = read_split(split(tmp_path, "train"), field="train")
  pairs = user_pairs(train)
  assert pairs.offsets.tolist() == [0, 1, 4, 4] and pairs.items.tolist() == [2, 1, 3, 4]
  some = history_pairs(train, slice(0, 2))
  assert some.offsets.tolist() == [0, 2, 3] and some.items.tolist() == [1, 3, 2]
  assert event_counts(train.items, num_items=4).tolist() == [0, 2, 1, 2, 1]


def test_histories_without_events_have_no_pairs(folder):
  rows = read_split(split(folder, "test"), field="data")
  assert history_pairs(rows, slice(19, 20)).offsets.tolist() == [0, 0]
  assert NUM_ITEMS == rows.num_items

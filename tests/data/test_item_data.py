"""Histories: rows of one length or a few, stretches of long ones, and what is refused."""

import json

import numpy as np
import pytest
from interactions import asked, trained, write_interactions
from streams import take

from pretrainjax.data.item_data import ItemData
from pretrainjax.data.prepared_facts import PreparedFacts
from pretrainjax.errors import UserError

# By user; each event of a user is another item, so that rows can be told apart.
LENGTHS = [23, 4, 1, 12, 9, 2, 6]
ROWS = [list(range(10 * u + 1, 10 * u + 1 + n)) for u, n in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """The set "log" of users with an event an hour, and asked for in "test"; one has no history."""
  data_dir = tmp_path_factory.mktemp("data")
  train = [trained(user, row) for user, row in enumerate(ROWS)]
  test = [asked(1, ROWS[1], 3), asked(7, [], 5, target_time=10), asked(0, ROWS[0], 2)]
  features = [{"kind": ["b", "a"]}, {}, {"year": "1999", "kind": ["a"]}]
  write_interactions(
    data_dir / "log", {"train": train, "test": test}, num_items=80, item_features=features
  )
  return data_dir


@pytest.fixture
def make(data_dir):
  """Returns `make(**changes)`, an ItemData of "log"."""

  def make(**changes) -> ItemData:
    options = {"datasets": "log", "batch_size": 4, "length": 5, "data_dir": str(data_dir)}
    return ItemData(**(options | changes))

  return make


def rows_of(batches):
  """Items of all rows without padding, which is checked, as are the times of an event an hour."""
  found = []
  for batch in batches:
    for row in range(len(batch["items"])):
      if "valid" in batch and not batch["valid"][row]:
        continue
      items, times = batch["items"][row], batch["times"][row]
      count = int((items > 0).sum())
      assert not items[count:].any() and not times[count:].any()
      assert times[:count].tolist() == [3600 * i for i in range(count)][::-1]
      found.append(items[:count].tolist())
  return found


def test_rows_hold_the_newest_events_padded_at_their_ends(make):
  data = make(next_item=True)
  batches = list(data.one_pass())
  assert {batch["items"].shape for batch in batches} == {(4, 6)}
  # A user of one event has nothing to predict; the next one stands in for it, and is not valid.
  assert rows_of(batches) == [row[-6:] for row in ROWS if len(row) > 1]
  assert rows_of(make().one_pass()) == [row[-5:] for row in ROWS]
  names = {name: (a.shape, a.dtype) for name, a in data.shapes({}).items() if name != "label"}
  first = {k: (v.shape[1:], v.dtype) for k, v in batches[0].items() if k != "valid"}
  assert names == first
  assert data.count(batches[0]) == {"events": int((batches[0]["items"] > 0).sum())}


def test_what_is_asked_for_stands_beside_the_history(make):
  (batch,) = make(split="test").one_pass()
  assert batch["target"][:3].tolist() == [3, 5, 2]
  assert batch["user"][:3].tolist() == [1, 7, 0]
  assert batch["num_train"][:3].tolist() == [4, 0, 23]
  assert rows_of([batch]) == [ROWS[1], [], ROWS[0][-5:]]


@pytest.mark.parametrize("next_item", [False, True])
def test_all_stretches_together_have_every_event(make, next_item):
  data = make(crop="all", next_item=next_item)
  assert data.num_pieces == (5,)
  rows = rows_of(data.one_pass())
  predicted = [item for row in rows for item in row[next_item:]]
  expected = [item for row in ROWS for item in row[next_item:]]
  assert sorted(predicted) == sorted(expected)
  assert all(len(row) <= 5 + next_item for row in rows)
  assert ROWS[0][-5 - next_item :] in rows


def test_random_stretches_are_drawn_anew_and_again(make):
  data = make(crop="random")
  rows = rows_of(take(data, 150))
  starts = {row[0] for row in rows if row[-1] <= 23 and len(row) == 5}
  assert starts == set(range(1, 20))
  assert all(row == list(range(row[0], row[0] + len(row))) for row in rows)
  assert rows == rows_of(take(data, 150))


def test_buckets_hold_what_single_rows_do(make):
  plain = make(length=20, next_item=True)
  data = make(length=20, next_item=True, buckets=3, batch_size=2)
  batches = take(data, 7 * 48)
  widths = {batch["items"].shape[1] for batch in batches}
  assert 1 < len(widths) <= 3
  whole = {tuple(row) for row in rows_of(plain.one_pass())}
  assert {tuple(row) for row in rows_of(batches)} == whole
  by_length = list(data.pass_by_length())
  assert sorted(rows_of(by_length)) == sorted(rows_of(plain.one_pass()))


def test_resume_is_exact(make):
  data = make(crop="random", buckets=2)
  whole = take(data, 9)
  for expected, found in zip(whole[5:], take(data, 4, start=5), strict=True):
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_facts_are_those_of_the_tables(data_dir):
  facts = PreparedFacts("log", data_dir=str(data_dir))
  assert (facts.num_items, facts.num_users, facts.longest_history) == (80, 8, 23)
  assert facts.catalogue == str(data_dir / "log" / "1.0.0")
  assert (facts.num_item_features, facts.features_per_item) == (3, 2)
  assert (facts.num_user_features, facts.features_per_user) == (0, 0)


def test_times_that_go_back_and_unknown_items_are_counted_as_damage(tmp_path):
  good, odd = trained(0, [1, 2, 3]), trained(1, [1, 2], times=[7200, 0])
  write_interactions(tmp_path / "log", {"train": [good, odd]})
  options = {"batch_size": 1, "length": 4, "data_dir": str(tmp_path), "max_bad_fraction": 0.0}
  data = ItemData(datasets="log", **options)
  with pytest.raises(UserError, match=r"1 of 2 records cannot.*log/train/1: has times that"):
    list(data.one_pass())
  path = tmp_path / "log" / "1.0.0" / "prepared.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"num_items": 2}))
  again = ItemData(datasets="log", **options)
  with pytest.raises(UserError, match="found item 1 to 3, expected 1 to 2"):
    list(again.one_pass())


def test_sets_with_other_items_are_not_mixed(tmp_path):
  for name, count in (("one", 5), ("same", 5), ("other", 6)):
    write_interactions(tmp_path / name, {"train": [[1, 2]]}, num_items=count)
  options = {"batch_size": 1, "length": 4, "data_dir": str(tmp_path)}
  assert len(list(ItemData(datasets="one,same", **options).one_pass())) == 2
  with pytest.raises(UserError, match="'other' has another table of items than 'one'"):
    list(ItemData(datasets="one,other", **options).one_pass())


def test_training_events_at_or_after_the_cut_end_the_run(data_dir, make):
  path = next(data_dir.rglob("prepared.json"))
  facts = json.loads(path.read_text())
  late = facts | {"protocol": facts["protocol"] | {"cut": 3600 * 10}}
  path.write_text(json.dumps(late))
  try:
    with pytest.raises(UserError, match="training events at or after 36000"):
      list(make(next_item=True).one_pass())
    assert len(list(make(split="test").one_pass())) == 1  # what is asked is later
  finally:
    path.write_text(json.dumps(facts))

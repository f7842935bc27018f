"""Splits of events against plain loops, ties of times among them."""

import numpy as np
import pytest

from pretrainjax.prepare.items import splits as splits_module
from pretrainjax.prepare.items.splits import Cuts, Splits, chunk_of, quantile_of


def random_chunk(seed=0, num_users=40, span=50):
  rng = np.random.default_rng(seed)
  users = np.sort(rng.integers(0, num_users, 400)).astype(np.uint32)
  times = rng.integers(-9, span, 400)  # many ties
  order = np.lexsort((times, users))
  return chunk_of(users, rng.integers(1, 30, 400), times[order])


def records(splits, chunk, cuts):
  """(user, history's places, target's place or None, num_train) of each split."""
  found = {}
  for split, places in splits.places(chunk, cuts).items():
    found[split] = [
      (int(row), list(range(start, end)), None if split == "train" else int(end), int(count))
      for row, start, end, count in zip(*places, strict=True)
    ]
  return found


def plainly(splits, chunk, cuts):
  """The same by loops, of all that is not left to chance."""
  found = {"train": [], "validation": [], "test": []}
  for row in range(len(chunk.users)):
    places = list(range(chunk.offsets[row], chunk.offsets[row + 1]))
    test = [p for p in places if chunk.times[p] >= cuts.test] if cuts else places[1:][-1:]
    before = [p for p in places if p not in test]
    held = []
    if splits.validates_by == "time":
      held = [p for p in before if chunk.times[p] >= cuts.train]
    elif len(before) >= 2:
      held = before[-1:]
    train = [p for p in before if p not in held]
    if train:
      found["train"].append((row, train, None, len(train)))
    for split, period in (("validation", held), ("test", test)):
      chosen = period if splits.target == "successive" else period[-1:]
      for target in chosen:
        found[split].append((row, [p for p in places if p < target], target, len(train)))
  return found


@pytest.mark.parametrize("target", ["last", "successive"])
@pytest.mark.parametrize("validation", ["time", "last"])
def test_a_temporal_split_is_that_of_plain_loops(target, validation):
  for seed in range(3):
    splits, chunk = Splits(target=target, validation=validation), random_chunk(seed)
    cuts = splits.cuts(lambda chunk=chunk: iter([chunk.times[:100], chunk.times[100:]]))
    assert records(splits, chunk, cuts) == plainly(splits, chunk, cuts)
    train = [p for _, history, _, _ in records(splits, chunk, cuts)["train"] for p in history]
    assert chunk.times[train].max() < cuts.train <= cuts.test


def test_leave_one_out_is_that_of_plain_loops():
  splits, chunk = Splits(kind="leave_one_out"), random_chunk()
  assert splits.cuts(lambda: iter([chunk.times])) is None
  assert records(splits, chunk, None) == plainly(splits, chunk, None)


def test_leave_one_out_of_users_with_few_events():
  chunk = chunk_of(np.array([0, 1, 1, 2, 2, 2], np.uint32), np.arange(1, 7), np.zeros(6))
  found = records(Splits(kind="leave_one_out"), chunk, None)
  assert found["train"] == [(0, [0], None, 1), (1, [1], None, 1), (2, [3], None, 1)]
  assert found["validation"] == [(2, [3], 4, 1)]
  assert found["test"] == [(1, [1], 2, 1), (2, [3, 4], 5, 1)]


@pytest.mark.parametrize("cuts", [None, Cuts(40, 40)])
def test_users_kept_for_validation_are_not_trained_on(cuts):
  chunk = random_chunk(num_users=100)
  splits = Splits(
    kind="temporal" if cuts else "leave_one_out", validation="user", validation_users=0.3
  )
  found = records(splits, chunk, cuts)
  held, trained = ({row for row, *_ in found[s]} for s in ("validation", "train"))
  assert not held & trained and 15 < len(held) < 45
  others = records(Splits(kind=splits.kind, validation="last"), chunk, cuts)
  assert {(r, t) for r, _, t, _ in found["validation"]} < {
    (r, t) for r, _, t, _ in others["validation"]
  }
  assert all(count == 0 for *_, count in found["validation"])
  assert all(count == 0 for r, *_, count in found["test"] if r in held)


def test_a_random_target_is_one_of_the_period_and_the_same_in_any_chunk():
  chunk, cuts = random_chunk(), Cuts(30, 35)
  found = records(Splits(target="random", seed=3), chunk, cuts)
  every = records(Splits(target="successive"), chunk, cuts)
  for split in ("validation", "test"):
    assert {(r, t) for r, _, t, _ in found[split]} <= {(r, t) for r, _, t, _ in every[split]}
    assert {r for r, *_ in found[split]} == {r for r, *_ in every[split]}
  last = records(Splits(), chunk, cuts)
  assert found["test"] != last["test"]
  assert found["test"] != records(Splits(target="random", seed=4), chunk, cuts)["test"]
  cut = int(chunk.offsets[20])
  users = np.repeat(chunk.users, np.diff(chunk.offsets)).astype(np.uint32)
  half = chunk_of(users[cut:], chunk.items[cut:], chunk.times[cut:])
  again = records(Splits(target="random", seed=3), half, cuts)["test"]
  assert [t + cut for _, _, t, _ in again] == [t for r, _, t, _ in found["test"] if r >= 20]


def test_long_training_records_are_cut_and_nothing_is_lost():
  chunk = random_chunk(num_users=5)
  whole = records(Splits(), chunk, Cuts(40, 45))["train"]
  pieces = records(Splits(max_record=7), chunk, Cuts(40, 45))["train"]
  assert max(len(history) for _, history, *_ in pieces) == 7
  for row, history, _, count in whole:
    assert [p for r, piece, *_ in pieces if r == row for p in piece] == history
    assert {c for r, *_, c in pieces if r == row} == {count}


@pytest.mark.parametrize("span", [1, 100, 2**40])
def test_a_quantile_is_that_of_sorted_times(monkeypatch, span):
  monkeypatch.setattr(splits_module, "_BINS", 16)
  times = np.random.default_rng(0).integers(-span, span, 1000)
  for quantile in (0.001, 0.5, 0.9, 0.999):
    found = quantile_of(lambda: iter([times[:10], times[10:10], times[10:]]), quantile)
    assert found == np.sort(times)[int(quantile * 1000)]
  assert quantile_of(lambda: iter([times[:0]]), 0.5) is None


def test_what_leave_one_out_has_not_is_refused():
  with pytest.raises(ValueError, match="target='random': expected 'last'"):
    Splits(kind="leave_one_out", target="random")
  with pytest.raises(ValueError, match="validation='time': expected 'last' or 'user'"):
    Splits(kind="leave_one_out", validation="time")


def test_an_empty_chunk_has_no_records():
  chunk = chunk_of(np.array([], np.uint32), np.array([]), np.array([]))
  assert not any(len(p.rows) for p in Splits().places(chunk, Cuts(1, 2)).values())

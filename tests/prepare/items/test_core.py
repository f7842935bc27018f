"""The k-core against a plain program that leaves out one thing after another."""

import numpy as np
import pytest

from pretrainjax.prepare.items.core import core_of, surviving, without_repeats
from pretrainjax.prepare.items.events import EVENT


def events_of(*pairs):
  """Events of (user, item), an hour apart."""
  found = np.zeros(len(pairs), EVENT)
  found["user"], found["item"] = zip(*pairs, strict=True)
  found["time"] = np.arange(len(pairs))
  return found


def plainly(histories, *, users, items, drop_repeats):
  """Histories by user, filtered to the fixed point."""
  while True:
    found = {}
    for user, history in histories.items():
      kept = []
      for item in history:
        if not (drop_repeats and kept and kept[-1] == item):
          kept.append(item)
      found[user] = kept
    counts = {}
    for history in found.values():
      for item in history:
        counts[item] = counts.get(item, 0) + 1
    left = {u: [i for i in h if counts[i] >= items] for u, h in found.items() if len(h) >= users}
    if left == histories:
      return left
    histories = left


@pytest.mark.parametrize("drop_repeats", [False, True])
@pytest.mark.parametrize(("users", "items"), [(1, 1), (2, 3), (5, 5), (4, 1)])
def test_the_core_is_that_of_a_plain_program(users, items, drop_repeats):
  rng = np.random.default_rng(users + items)
  histories = {u: rng.zipf(1.4, rng.integers(1, 20)).clip(0, 29).tolist() for u in range(60)}
  events = events_of(*((u, i) for u, history in histories.items() for i in history))
  parts = [events[events["user"] < 20], events[events["user"] >= 20], events[:0]]
  core = core_of(
    lambda: iter(parts),
    num_users=60,
    num_items=30,
    min_user_events=users,
    min_item_events=items,
    drop_repeats=drop_repeats,
  )
  left = np.concatenate([surviving(part, core, drop_repeats=drop_repeats) for part in parts])
  wanted = plainly(histories, users=users, items=items, drop_repeats=drop_repeats)
  wanted = {u: history for u, history in wanted.items() if history}
  assert {int(u): left["item"][left["user"] == u].tolist() for u in set(left["user"])} == wanted
  assert core.num_events == len(left) == sum(map(len, wanted.values()))
  assert set(np.flatnonzero(core.users)) == {*wanted}


def test_what_becomes_a_repeat_when_the_item_between_goes_is_one():
  events = events_of((0, 1), (0, 2), (0, 1), (1, 1), (1, 3), (1, 3))
  core = core_of(
    lambda: iter([events]),
    num_users=2,
    num_items=4,
    min_user_events=1,
    min_item_events=2,
    drop_repeats=True,
  )
  left = surviving(events, core, drop_repeats=True)
  assert list(zip(left["user"], left["item"], strict=True)) == [(0, 1), (1, 1)]
  assert core.num_rounds == 2


def test_the_same_item_of_two_users_is_no_repeat():
  found = without_repeats(events_of((0, 1), (0, 1), (1, 1), (1, 2), (1, 1)))
  assert found["item"].tolist() == [1, 1, 2, 1]
  assert len(without_repeats(found[:0])) == 0

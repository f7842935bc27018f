"""The k-core of a log: every user and every item that is left has so many events among them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

Parts = Callable[[], Iterator[np.ndarray]]


class Core(NamedTuple):
  """What is left.

  Attributes:
    users: whether a user stays, by place.
    items: whether an item stays, by number.
    num_events: the number of events that stay.
    num_repeats: how many were left out since they repeat the user's event before.
    num_rounds: how often all events were looked at, until nothing changed.
  """

  users: Bool[np.ndarray, " U"]
  items: Bool[np.ndarray, " I"]
  num_events: int
  num_repeats: int
  num_rounds: int


def core_of(
  parts: Parts,
  *,
  num_users: int,
  num_items: int,
  min_user_events: int,
  min_item_events: int,
  drop_repeats: bool,
) -> Core:
  """Leaves out users and items with too few events until none has, and repeats in every round.

  A repeat is an event with the same item as the user's event before it, of those that are left:
  where all between two equal ones went, the second one goes too.

  Args:
    parts: reads all events, sorted by user and time, with all events of a user in one part.
    num_users: the number of users.
    num_items: the number of items.
    min_user_events: the fewest events of a user.
    min_item_events: the fewest events of an item.
    drop_repeats: whether consecutive repeats are left out.
  """
  users, items, num_rounds = np.ones(num_users, bool), np.ones(num_items, bool), 0
  while True:
    of_users, of_items = np.zeros(num_users, np.int64), np.zeros(num_items, np.int64)
    num_repeats, num_rounds = 0, num_rounds + 1
    for events in parts():
      before = events[users[events["user"]] & items[events["item"]]]
      left = without_repeats(before) if drop_repeats else before
      num_repeats += len(before) - len(left)
      _count(of_users, left["user"])
      _count(of_items, left["item"])
    some_users = users & (of_users >= max(min_user_events, 1))
    some_items = items & (of_items >= max(min_item_events, 1))
    if (some_users == users).all() and (some_items == items).all():
      return Core(users, items, int(of_users.sum()), num_repeats, num_rounds)
    users, items = some_users, some_items


def surviving(events: np.ndarray, core: Core, *, drop_repeats: bool) -> np.ndarray:
  """The events of a part that are left.

  Args:
    events: all events of some users.
    core: the result of `core_of`.
    drop_repeats: as it was told.
  """
  left = events[core.users[events["user"]] & core.items[events["item"]]]
  return without_repeats(left) if drop_repeats else left


def without_repeats(events: np.ndarray) -> np.ndarray:
  """Events but for those with the same user and item as the one before.

  Args:
    events: sorted by user and time.
  """
  same = (events["user"][1:] == events["user"][:-1]) & (events["item"][1:] == events["item"][:-1])
  return events[np.append(np.ones(min(len(events), 1), bool), ~same)]


def _count(counts: Int64[np.ndarray, " K"], numbers: np.ndarray) -> None:
  """Adds how often each number occurs; those of users are close to each other."""
  if len(numbers):
    first, last = int(numbers.min()), int(numbers.max())
    counts[first : last + 1] += np.bincount(numbers - np.uint32(first))

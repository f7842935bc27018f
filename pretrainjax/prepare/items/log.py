"""All events that are left, with the numbers that they are written with, user by user."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pretrainjax.data.interactions import History
from pretrainjax.prepare.items.core import Core, surviving
from pretrainjax.prepare.items.record import record
from pretrainjax.prepare.items.sorting import Sorted
from pretrainjax.prepare.items.splits import Chunk, Cuts, Places, Splits, chunk_of

MICRO = 1_000_000
_OVERHEAD = 100  # bytes of a record beside its events, about


class Log(NamedTuple):
  """What is left of a log.

  Attributes:
    sorted: all events, sorted.
    core: which of them are left.
    drop_repeats: whether consecutive repeats are left out.
    has_times: whether times are microseconds, and not numbers of rows.
  """

  sorted: Sorted
  core: Core
  drop_repeats: bool
  has_times: bool

  @property
  def num_users(self) -> int:
    """The number of users."""
    return int(self.core.users.sum())

  @property
  def num_items(self) -> int:
    """The number of items."""
    return int(self.core.items.sum())

  def chunks(self) -> Iterator[Chunk]:
    """All events, of some users at once, as they are numbered in the end."""
    users, items = np.cumsum(self.core.users) - 1, np.cumsum(self.core.items)
    for events in self.sorted.parts():
      left = surviving(events, self.core, drop_repeats=self.drop_repeats)
      times = left["time"] // MICRO if self.has_times else left["time"]
      yield chunk_of(users[left["user"]].astype(np.uint32), items[left["item"]], times)

  def times(self) -> Iterator[np.ndarray]:
    """The times of all events, some at once."""
    return (chunk.times for chunk in self.chunks())

  def user_ids(self, ids: pa.Array) -> pa.Array:
    """The ids of the users that are left, by number.

    Args:
      ids: of all users, as they came.
    """
    by_place = np.argsort(self.sorted.order)[self.core.users]
    return ids.take(pa.array(by_place))

  def item_ids(self, ids: pa.Array) -> pa.Array:
    """The ids of the items that are left, by number; of item 1 first.

    Args:
      ids: of all items, as they came.
    """
    return pc.filter(ids, pa.array(self.core.items))


class Counted(NamedTuple):
  """Sizes of the splits.

  Attributes:
    sizes: records and about how many bytes, by split; none is empty.
    events: in "train" the events that are trained on, else the targets, by split.
    cold: records of users without an event in training, by split.
    of_items: how often each item is trained on.
    of_users: how many events of each user are trained on.
    longest: the events of the longest training record.
  """

  sizes: dict[str, tuple[int, int]]
  events: dict[str, int]
  cold: dict[str, int]
  of_items: np.ndarray
  of_users: np.ndarray
  longest: int


def counted(log: Log, splits: Splits, cuts: Cuts | None) -> Counted:
  """Counts what the splits will hold, before any is written.

  Args:
    log: the log, with all that is left of it.
    splits: how they are split.
    cuts: the times of the cuts.
  """
  totals: dict[str, Any] = {s: np.zeros(4, np.int64) for s in ("train", "validation", "test")}
  of_items, of_users = np.zeros(log.num_items, np.int64), np.zeros(log.num_users, np.int64)
  longest = 0
  for chunk in log.chunks():
    for split, found in splits.places(chunk, cuts).items():
      lengths = found.ends - found.starts
      num_events = int(lengths.sum())
      told = num_events if split == "train" else len(lengths)
      totals[split] += len(lengths), told, num_events, int((found.num_train == 0).sum())
      if split == "train" and len(lengths):
        longest = max(longest, int(lengths.max()))
        np.add.at(of_users, chunk.users[found.rows], lengths)
        of_items += np.bincount(_covered(chunk.items, found) - 1, minlength=len(of_items))
  return Counted(
    sizes={s: (int(n[0]), int(12 * n[2] + _OVERHEAD * n[0])) for s, n in totals.items() if n[0]},
    events={s: int(n[1]) for s, n in totals.items() if n[0]},
    cold={s: int(n[3]) for s, n in totals.items() if n[0] and s != "train"},
    of_items=of_items,
    of_users=of_users,
    longest=longest,
  )


def records(
  log: Log, splits: Splits, cuts: Cuts | None, *, split: str, start: int
) -> Iterator[bytes]:
  """The records of a split in the order of their users, but the first so many.

  Args:
    log: the log, with all that is left of it.
    splits: how they are split.
    cuts: the times of the cuts.
    split: the name of the split.
    start: the number of records that are passed over.
  """
  for chunk in log.chunks():
    found = splits.places(chunk, cuts)[split]
    count = len(found.rows)
    if split == "train" and cuts is not None and count:
      last = chunk.times[found.ends - 1].max()
      assert last < cuts.train, f"an event at {last} is trained on, after {cuts.train}"
    for place in range(min(start, count), count):
      yield record(_history(chunk, found, place, is_asked=split != "train"))
    start = max(start - count, 0)


def _history(chunk: Chunk, found: Places, place: int, *, is_asked: bool) -> History:
  events = slice(int(found.starts[place]), int(found.ends[place]))
  return History(
    user=int(chunk.users[found.rows[place]]),
    items=chunk.items[events],
    times=chunk.times[events],
    target=int(chunk.items[events.stop]) if is_asked else 0,
    target_time=int(chunk.times[events.stop]) if is_asked else 0,
    num_train=int(found.num_train[place] if is_asked else events.stop - events.start),
  )


def _covered(items: np.ndarray, found: Places) -> np.ndarray:
  """The items of training records, which do not overlap."""
  change = np.zeros(len(items) + 1, np.int64)
  np.add.at(change, found.starts, 1)
  np.add.at(change, found.ends, -1)
  return items[np.cumsum(change[:-1]) > 0]


def save_masks(folder: Path, core: Core) -> dict[str, int]:
  """Keeps a core in files; returns the rest of it, for the journal.

  Args:
    folder: the work folder.
    core: what is left.
  """
  for name in ("users", "items"):
    np.save(folder / f"core_{name}.npy", getattr(core, name))
  return {n: getattr(core, n) for n in ("num_events", "num_repeats", "num_rounds")}


def load_masks(folder: Path, facts: dict[str, int]) -> Core:
  """A core as `save_masks` kept it."""
  masks = (np.load(folder / f"core_{name}.npy") for name in ("users", "items"))
  return Core(*masks, **facts)

"""Which events are trained on, and which are asked for in validation and test.

Leave-one-out asks for the last event of each user; users trained on later than others are asked
about leak the future. The global temporal split (Time to Split, 2507.16289) cuts all histories at
one time.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Int64, UInt32

from pretrainjax.ranges import OpenFraction, PositiveInt, Seed, check_ranges

_BINS = 1 << 20


class Chunk(NamedTuple):
  """All events of some users: those of user i are items[offsets[i]:offsets[i + 1]], oldest first.

  Attributes:
    users: the numbers of the users.
    offsets: where the events of each begin, and the end of the last.
    items: the items of the events, from 1.
    times: seconds, or numbers of rows.
  """

  users: Int64[np.ndarray, " U"]
  offsets: Int64[np.ndarray, " U1"]
  items: Int32[np.ndarray, " E"]
  times: Int64[np.ndarray, " E"]


class Cuts(NamedTuple):
  """Times at which training and validation end, of the global temporal split.

  Attributes:
    train: no event that is trained on is at this time or after it.
    test: the events of the test are at this time or after it.
  """

  train: int
  test: int


class Places(NamedTuple):
  """Records of a split, as places in a chunk.

  Attributes:
    rows: of each record, the place of its user in the chunk.
    starts: where its events begin.
    ends: where they end; in validation and test the target stands there.
    num_train: how many of the user's events are trained on.
  """

  rows: Int64[np.ndarray, " R"]
  starts: Int64[np.ndarray, " R"]
  ends: Int64[np.ndarray, " R"]
  num_train: Int64[np.ndarray, " R"]


@dataclasses.dataclass(frozen=True)
class Splits:
  """How events are split.

  Attributes:
    kind: "temporal", or "leave_one_out".
    quantile: where a temporal split cuts: the share of events that are before; and again for a
      validation by time, of the events that are before the test.
    target: what is asked of a user in the time after a cut: the "last" event, a "random" one, or
      all one after another ("successive"), each with whatever came before it.
    validation: by "time", by each user's "last" event before the test, or by the last one of users
      who are not trained on ("user"). "auto" is "time" of a temporal split, else "last".
    validation_users: the share of users that are kept for a validation by user.
    max_record: the most events of a training record; what is longer is cut into several.
    seed: the seed of random targets and users.
  """

  kind: Literal["temporal", "leave_one_out"] = "temporal"
  quantile: OpenFraction = 0.9
  target: Literal["last", "random", "successive"] = "last"
  validation: Literal["auto", "time", "last", "user"] = "auto"
  validation_users: OpenFraction = 0.1
  max_record: PositiveInt = 100_000
  seed: Seed = 0

  def __post_init__(self):
    check_ranges(self)
    if self.kind == "leave_one_out" and self.target != "last":
      raise ValueError(f"target='{self.target}': expected 'last' with kind='leave_one_out'")
    if self.kind == "leave_one_out" and self.validation == "time":
      raise ValueError("validation='time': expected 'last' or 'user' with kind='leave_one_out'")

  @property
  def validates_by(self) -> str:
    """What "auto" stands for, or what was chosen."""
    if self.validation != "auto":
      return self.validation
    return "time" if self.kind == "temporal" else "last"

  def cuts(self, times: Callable[[], Iterator[np.ndarray]]) -> Cuts | None:
    """The times of the cuts; None of leave-one-out.

    Args:
      times: reads the times of all events, some at once.
    """
    if self.kind == "leave_one_out":
      return None
    test = quantile_of(times, self.quantile)
    if self.validates_by != "time":
      return Cuts(test, test)
    before = quantile_of(lambda: (some[some < test] for some in times()), self.quantile)
    return Cuts(test if before is None else before, test) if test is not None else None

  def places(self, chunk: Chunk, cuts: Cuts | None) -> dict[str, Places]:
    """The records of a chunk, by split.

    Args:
      chunk: all events of some users.
      cuts: the times of the cuts.
    """
    starts, ends = chunk.offsets[:-1], chunk.offsets[1:]
    if cuts is None:
      test = ends - (ends - starts >= 2)  # one event alone is trained on
      train = test
    else:
      test, train = _before(chunk, cuts.test), _before(chunk, cuts.train)
    if self.validates_by == "time":
      validation = self._asked(chunk, train, test, train)
    else:
      has_two = test - starts >= 2
      rows = np.flatnonzero(has_two & self._are_kept(chunk.users))
      train = test.copy()
      train[rows] = starts[rows] if self.validates_by == "user" else test[rows] - 1
      validation = Places(rows, starts[rows], test[rows] - 1, (train - starts)[rows])
    return {
      "train": self._trained(starts, train),
      "validation": validation,
      "test": self._asked(chunk, test, ends, train),
    }

  def _are_kept(self, users: Int64[np.ndarray, " U"]) -> np.ndarray:
    """Whether a user has an event in validation, who has enough of them."""
    if self.validates_by == "last":
      return np.ones(len(users), bool)
    return _uniform(users, self.seed, salt=1) < self.validation_users

  def _trained(self, starts: np.ndarray, ends: np.ndarray) -> Places:
    """Records of training: pieces, the last of which may be short."""
    num_train, longest = ends - starts, self.max_record
    rows = np.repeat(np.arange(len(starts)), -(-num_train // longest))
    piece = np.arange(len(rows)) - np.searchsorted(rows, rows)
    begins = starts[rows] + piece * longest
    return Places(rows, begins, np.minimum(begins + longest, ends[rows]), num_train[rows])

  def _asked(self, chunk: Chunk, begin: np.ndarray, end: np.ndarray, train: np.ndarray) -> Places:
    """Records whose targets are in [begin, end) of each user."""
    starts, count = chunk.offsets[:-1], end - begin
    if self.target == "successive":
      rows = np.repeat(np.arange(len(begin)), count)
      targets = begin[rows] + np.arange(len(rows)) - np.searchsorted(rows, rows)
    else:
      rows = np.flatnonzero(count)
      targets = end[rows] - 1
      if self.target == "random":
        chance = _uniform(chunk.users[rows], self.seed, salt=2)
        targets = begin[rows] + (chance * count[rows]).astype(np.int64)
    return Places(rows, starts[rows], targets, (train - starts)[rows])


def quantile_of(times: Callable[[], Iterator[np.ndarray]], quantile: float) -> int | None:
  """The time at place floor(quantile * N) of N sorted ones, in bounded memory; None of no times.

  >>> quantile_of(lambda: iter([np.array([5, 1]), np.array([9, 7])]), 0.5)
  7

  Args:
    times: reads them all, some at once, in any order.
    quantile: in (0, 1).
  """
  count, low, high = 0, None, None
  for some in times():
    if len(some):
      count += len(some)
      low = int(some.min()) if low is None else min(low, int(some.min()))
      high = int(some.max()) if high is None else max(high, int(some.max()))
  if low is None or high is None:
    return None
  place = int(quantile * count)
  while low < high:
    width = -(-(high - low + 1) // _BINS)
    bins = np.zeros(_BINS, np.int64)
    for some in times():
      inside = some[(some >= low) & (some <= high)]
      bins += np.bincount((inside - low) // width, minlength=_BINS)
    before = np.cumsum(bins)
    chosen = int(np.searchsorted(before, place, side="right"))
    place -= int(before[chosen] - bins[chosen])
    low, high = low + chosen * width, min(low + (chosen + 1) * width - 1, high)
  return low


def _before(chunk: Chunk, cut: int) -> Int[np.ndarray, " U"]:
  """Of each user the place of the first event at a time or after it."""
  is_before = np.append(0, np.cumsum(chunk.times < cut))
  return chunk.offsets[:-1] + is_before[chunk.offsets[1:]] - is_before[chunk.offsets[:-1]]


def _uniform(users: Int64[np.ndarray, " U"], seed: int, *, salt: int) -> np.ndarray:
  """A random number in [0, 1) of each user: the same whoever else is in the chunk (SplitMix64)."""
  start = np.uint64((seed * 2 + salt) * 0xD1342543DE82EF95 % 2**64)
  mixed = users.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
  for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
    mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
  mixed ^= mixed >> np.uint64(31)
  return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def chunk_of(users: UInt32[np.ndarray, " E"], items: np.ndarray, times: np.ndarray) -> Chunk:
  """A chunk of events that are sorted by user and time.

  Args:
    users: the user of each event.
    items: the item of each, from 1.
    times: the time of each.
  """
  begins = np.flatnonzero(np.append(len(users) > 0, users[1:] != users[:-1])[: len(users)])
  offsets = np.append(begins, len(users)).astype(np.int64)
  numbers = users[begins].astype(np.int64)
  return Chunk(numbers, offsets, items.astype(np.int32), times.astype(np.int64))

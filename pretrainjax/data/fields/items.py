"""Users' histories: item numbers and when they were, in rows of one length."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np

from pretrainjax.data.field import ArrayShape, Field, Place
from pretrainjax.data.interactions import History, check_before_cut, check_kind, history_of
from pretrainjax.data.item_table import digest_of_items
from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.ranges import LARGEST, PositiveInt, Range, check_ranges
from pretrainjax.types import Batch

_LATEST = np.iinfo(np.int32).max
# What times of noise, which measurements are made with, are below.
_A_YEAR = 365 * 24 * 3600


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemField(Field):
  """A user's history: "items" and "times" int32 "T", and "user", "target", "num_train" int32.

  "items" are padded with 0 at the end; "times" are seconds before the newest event of the row.

  Attributes:
    length: the most events of a history that a network reads.
    next_item: rows have one event more, T = length + 1, for objectives by which each event is to be
      predicted from those before it; otherwise T = length.
    crop: what becomes of a longer history: its "newest" events, a stretch from a "random" place, or
      "all", cut into stretches that follow each other, the newest of them full.
    buckets: the number of lengths that rows have, see `pretrainjax.data.buckets`. Above 1 each
      batch has rows of one of them: less padding, and a program compiled for each. In training
      only: evaluation chooses lengths by itself.
  """

  length: Annotated[int, Range(1, LARGEST)]
  next_item: bool = False
  crop: Literal["newest", "random", "all"] = "newest"
  buckets: PositiveInt = 1

  def __post_init__(self):
    check_ranges(self)

  @property
  def row_length(self) -> int:
    """Events of a row, T."""
    return self.length + self.next_item

  def check(self) -> None:
    """See `Field`."""
    for source in self.sources:
      check_kind(source)
    first, *others = self.sources
    for other in others:
      if digest_of_items(other.folder) != digest_of_items(first.folder):
        raise UserError(
          f"--{self.key}.datasets: '{other.name}' has another table of items than '{first.name}', "
          "expected the same: item numbers would not mean the same"
        )

  def pieces(self, source: PreparedSplit) -> int:
    """See `Field`."""
    if self.crop != "all":
      return 1
    # Stretches share an event, which the one only reads and the other predicts.
    longest = source.noted("longest_history", int)
    return max(1, -(-(longest - self.next_item) // self.length))

  def unpack(self, source: PreparedSplit, fields: Fields) -> History:
    """See `Field`."""
    found = history_of(fields)
    known = np.append(found.items, found.target or found.items[:1])
    num_items = source.noted("num_items", int)
    if len(known) and not 1 <= known.min() <= known.max() <= num_items:
      raise ValueError(f"found item {known.min()} to {known.max()}, expected 1 to {num_items}")
    if (found.times[1:] < found.times[:-1]).any():
      raise ValueError("has times that go back")
    check_before_cut(found.times, source)
    return found

  def is_empty(self, record: History, *, piece: int) -> bool:
    """See `Field`; a history without events, which has a target, is an example all the same."""
    if record.target:
      return piece > 0
    return len(record.items) - piece * self.length < 1 + self.next_item

  def arrays(self, record: History, place: Place) -> dict[str, np.ndarray]:
    """See `Field`."""
    size, end = self.row_length, len(record.items)
    if self.crop == "all":
      end -= place.piece * self.length
    elif self.crop == "random" and end > size:
      end = size + int(place.rng().integers(end - size + 1))
    items, times = (x[max(end - size, 0) : end] for x in (record.items, record.times))
    row = {"items": np.zeros(size, np.int32), "times": np.zeros(size, np.int32)}
    row["items"][: len(items)] = items
    if len(times):
      row["times"][: len(times)] = np.minimum(times[-1] - times, _LATEST)
    numbers = {"user": record.user, "target": record.target, "num_train": record.num_train}
    return row | {name: np.int32(number) for name, number in numbers.items()}

  def shapes(self, sizes: Mapping[str, int]) -> dict[str, ArrayShape]:
    """See `Field`; items are up to the network's "num_items", and rows are full."""
    shape, most = (self.row_length,), sizes.get("num_items", 1) + 1
    return {
      "items": ArrayShape(shape, np.int32, low=1, high=most),
      "times": ArrayShape(shape, np.int32, high=_A_YEAR),
      "user": ArrayShape((), np.int32, high=sizes.get("num_users", 1)),
      "target": ArrayShape((), np.int32, low=1, high=most),
      "num_train": ArrayShape((), np.int32, low=1, high=2),
    }

  def count(self, batch: Batch) -> dict[str, int | float]:
    """See `Field`; padding does not count."""
    return {"events": int(np.count_nonzero(batch["items"]))}

  # --- rows of several lengths ---------------------------------------------------------------

  @property
  def num_buckets(self) -> int:
    """See `Field`."""
    return self.buckets

  @property
  def has_lengths(self) -> bool:
    """See `Field`."""
    return True

  @property
  def buckets_by(self) -> Literal["rows", "padding"]:
    """See `Field`; a few histories are many times as long as most."""
    return "padding"

  @property
  def longest(self) -> int:
    """See `Field`."""
    return self.row_length

  def length_of(self, source: PreparedSplit, fields: Fields) -> int:
    """See `Field`; of a record without events 1, as no row is without a place."""
    return min(max(len(history_of(fields).items), 1), self.row_length)

  def cut(self, arrays: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """See `Field`."""
    return arrays | {name: arrays[name][..., :length] for name in ("items", "times")}

"""Users' histories: item numbers and when they were, in rows of one length."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int32, Int64

from pretrainjax.data.field import ArrayShape, Field, Place
from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.ranges import LARGEST, Range, check_ranges
from pretrainjax.types import Batch

_LATEST = np.iinfo(np.int32).max
# The lowest and the highest item and second of an array of noise, which measurements are made with.
_A_YEAR = 365 * 24 * 3600


class ItemRecord(NamedTuple):
  """What one record holds.

  Attributes:
    user: the number of the user.
    items: the numbers of the items, oldest first.
    times: when they were, in seconds.
    target: the item that comes next, 0 in what is trained on.
    num_train: events of the user that are trained on.
  """

  user: int
  items: Int32[np.ndarray, " N"]
  times: Int64[np.ndarray, " N"]
  target: int
  num_train: int


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
  """

  length: Annotated[int, Range(1, LARGEST)]
  next_item: bool = False
  crop: Literal["newest", "random", "all"] = "newest"

  def __post_init__(self):
    check_ranges(self)

  @property
  def row_length(self) -> int:
    """Events of a row, T."""
    return self.length + self.next_item

  def check(self) -> None:
    """See `Field`."""
    for source in self.sources:
      source.expect("items", tfds.features.Tensor)
      source.expect("times", tfds.features.Tensor)
      if source.noted("num_items", int) >= LARGEST:
        raise UserError(f"--{source.key}.datasets: '{source.name}' has 2^31 items or more")
    first, *others = self.sources
    table = (first.folder / "items.jsonl").read_bytes() if others else b""
    for other in others:
      if (other.folder / "items.jsonl").read_bytes() != table:
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

  def unpack(self, source: PreparedSplit, fields: Fields) -> ItemRecord:
    """See `Field`."""
    items = np.frombuffer(_packed(fields, "items", itemsize=4), np.int32)
    times = np.frombuffer(_packed(fields, "times", itemsize=8), np.int64)
    targets = np.frombuffer(_packed(fields, "targets", itemsize=4), np.int32)
    if len(items) != len(times) or len(targets) > 1:
      raise ValueError(f"has {len(items)} items, {len(times)} times and {len(targets)} targets")
    known = np.concatenate([items, targets])
    num_items = source.noted("num_items", int)
    if len(known) and not 1 <= known.min() <= known.max() <= num_items:
      raise ValueError(f"found item {known.min()} to {known.max()}, expected 1 to {num_items}")
    if (times[1:] < times[:-1]).any():
      raise ValueError("has times that go back")
    user, num_train = (_number(fields, name) for name in ("user", "num_train"))
    return ItemRecord(user, items, times, int(targets[0]) if len(targets) else 0, num_train)

  def is_empty(self, record: ItemRecord, *, piece: int) -> bool:
    """See `Field`; a history without events, which has a target, is an example all the same."""
    if record.target:
      return piece > 0
    return len(record.items) - piece * self.length < 1 + self.next_item

  def arrays(self, record: ItemRecord, place: Place) -> dict[str, np.ndarray]:
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


def _packed(fields: Fields, feature: str, *, itemsize: int) -> bytes:
  """The bytes of an array, which may be empty."""
  values = fields[feature].bytes_list.value
  if len(values) > 1 or (values and len(values[0]) % itemsize):
    raise ValueError(f"has no {feature}")
  return values[0] if values else b""


def _number(fields: Fields, feature: str) -> int:
  values = fields[feature].int64_list.value
  if len(values) != 1:
    raise ValueError(f"has no {feature}")
  return int(values[0])

"""Rows of several lengths: batches of one length each, in an order of (seed, step) alone."""

import threading
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from pretrainjax.data.field import Field, Place
from pretrainjax.data.prepared import PreparedSplit

# Batches among whose rows those of like length are put together, for each bucket.
_BATCHES_A_BUCKET = 16
# Sizes among which those with the least padding are looked for, at most.
_SIZES = 400
# Lengths of a pass of evaluation, each of which is a program to be compiled, for so many batches.
_PASS_LENGTHS, _BATCHES_A_LENGTH = 4, 8
# Of random numbers, apart from those of an example's fields.
_STREAM = 1 << 20


class Padding(NamedTuple):
  """The share of padding in rows, with buckets and with one length.

  Attributes:
    lengths: the lengths of the buckets' rows.
    share: the share of all places that padding would fill with every row in its bucket. That of
      real batches is a little higher, where rows of two buckets share one.
    share_of_one: the share with a single length, the longest.
  """

  lengths: tuple[int, ...]
  share: float
  share_of_one: float


class Row(NamedTuple):
  """One example of the order in which batches are filled.

  Attributes:
    position: the position of the example in the order before it was arranged.
    key: (source, row) of the example.
    length: the length of the rows of its batch; None where all have one.
  """

  position: int
  key: tuple[int, int]
  length: int | None


def record_lengths(
  source: PreparedSplit, numbers: Int[np.ndarray, " S"], field: Field
) -> np.ndarray:
  """The length of each record's row, int32; -1 for records that cannot be read.

  Args:
    source: the opened dataset that holds the records.
    numbers: the numbers of the records in it.
    field: the field, which knows the length of a record's row.
  """
  parts = [numbers[start : start + 1024] for start in range(0, len(numbers), 1024)]
  found = [length for part in parts for length in _lengths(source, part, field)]
  return np.asarray(found, np.int32)


def _lengths(source: PreparedSplit, numbers: np.ndarray, field: Field) -> list[int]:
  try:
    return [field.length_of(source, fields) for fields in source.records(numbers)]
  except (RuntimeError, ValueError):  # one of them: find out which
    if len(numbers) == 1:
      return [-1]
    return [_lengths(source, numbers[i : i + 1], field)[0] for i in range(len(numbers))]


def bucket_lengths(
  lengths: Int[np.ndarray, " S"],
  *,
  buckets: int,
  longest: int,
  step: int = 8,
  by: Literal["rows", "padding"] = "rows",
) -> tuple[int, ...]:
  """A few lengths for rows of many.

  Args:
    lengths: the lengths of all rows, at most `longest`; below 0 where not known.
    buckets: how many lengths, at most; fewer where they would be equal.
    longest: the length that holds any row.
    step: lengths are multiples of it, but for `longest`.
    by: "rows" takes quantiles, so that all buckets hold about as many rows, and `longest`;
      "padding" the lengths with the least padding, for rows of which a few are many times as long
      as most.

  >>> bucket_lengths(np.array([3, 9, 10, 30, 64]), buckets=2, longest=64)
  (16, 64)
  >>> bucket_lengths(np.array([3, 9, 10, 30, 64]), buckets=2, longest=80, by="padding")
  (16, 64)
  """
  known = lengths[lengths >= 0]
  if by == "padding" and len(known):
    # The search takes the square of the number of sizes.
    coarse = step * -(-longest // (step * _SIZES))
    sizes = -(-np.maximum(known, 1).astype(int) // coarse) * coarse
    return few_lengths(np.minimum(sizes, longest), count=buckets)
  shares = np.arange(1, buckets) / buckets
  found = np.quantile(known, shares, method="higher") if len(known) else np.array([])
  rounded = -(-found.astype(int) // step) * step
  return tuple(sorted({*np.minimum(np.maximum(rounded, step), longest).tolist(), longest}))


def padding_of(lengths: Int[np.ndarray, " S"], buckets: tuple[int, ...]) -> Padding:
  """The share of padding in all rows; see `Padding`."""
  known = lengths[lengths >= 0]
  places = np.asarray(buckets)[np.searchsorted(buckets, known)]
  share, of_one = (1 - known.sum() / max(n, 1) for n in (places.sum(), buckets[-1] * len(known)))
  return Padding(buckets, float(share), float(of_one))


class Rows(NamedTuple):
  """Examples of one batch of a pass.

  Attributes:
    places: of the examples, in the order of the data.
    length: that their rows have.
  """

  places: Int[np.ndarray, " B"]
  length: int


def pass_by_length(
  lengths: Int[np.ndarray, " S"], *, batch_size: int, longest: int, step: int = 8
) -> list[Rows]:
  """Batches of one pass, examples of like length together, in rows of few lengths.

  Args:
    lengths: the lengths of all rows; below 0 where not known, which the longest holds.
    batch_size: rows in a batch; the last one may have fewer.
    longest: the length that holds any row.
    step: rows have multiples of it.
  """
  needed = np.where(lengths < 0, longest, lengths)
  needed = np.minimum(-(-np.maximum(needed, 1) // step) * step, longest)
  order = np.argsort(needed, kind="stable")
  batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
  ends = np.array([needed[batch[-1]] for batch in batches])
  count = min(1 + len(batches) // _BATCHES_A_LENGTH, _PASS_LENGTHS)
  found = np.asarray(few_lengths(ends, count=count))
  return [
    Rows(batch, int(found[np.searchsorted(found, end)]))
    for batch, end in zip(batches, ends, strict=True)
  ]


def few_lengths(needed: Int[np.ndarray, " S"], *, count: int) -> tuple[int, ...]:
  """The `count` lengths, or fewer, with the least padding where each row takes the next one up.

  Args:
    needed: the least length of each row.
    count: at least 1.

  >>> few_lengths(np.array([8, 8, 8, 24, 24, 64]), count=2)
  (24, 64)
  """
  sizes, weights = np.unique(needed, return_counts=True)
  total = np.cumsum(weights)
  # The cost of all rows up to the i-th size, and the lengths that they take.
  best = [(int(total[i] * size), (int(size),)) for i, size in enumerate(sizes)]
  for _ in range(min(count, len(sizes)) - 1):
    best = [
      min(
        [best[i]]
        + [
          (best[j][0] + int((total[i] - total[j]) * size), (*best[j][1], int(size)))
          for j in range(i)
        ]
      )
      for i, size in enumerate(sizes)
    ]
  return best[-1][1]


class Unsorted:
  """An order that is not arranged by length."""

  def __init__(self, order: Any):
    self._order = order

  def __getitem__(self, index: int) -> Row:
    return Row(index, self._order[index], None)


class Buckets:
  """An order in which each batch has rows of about one length.

  Windows of some batches are taken of the order that there is, one behind the other. Within a
  window rows are sorted by bucket and cut into batches, each as long as its longest row's bucket,
  and the batches are shuffled. So nothing is dropped or repeated: an epoch shows each example once,
  but for the window in which one ends and the next begins, whose rows are mixed. What stands at a
  place depends on the seed and the place alone.
  """

  def __init__(
    self,
    order: Any,
    lengths: Sequence[Int[np.ndarray, " S"]],
    *,
    buckets: tuple[int, ...],
    batch_size: int,
    seed: int,
  ):
    """Arranges an order of examples into batches of about one length.

    Args:
      order: (source, row) by position, without end.
      lengths: the lengths of the rows of each source; below 0 where not known, which the longest
        holds.
      buckets: lengths of rows, rising.
      batch_size: the rows of a batch over all processes.
      seed: the seed of the order.
    """
    self._order, self._lengths, self._buckets = order, lengths, np.asarray(buckets)
    self._batches, self._batch_size = _BATCHES_A_BUCKET * len(buckets), batch_size
    self._seed, self._lock, self._window = seed, threading.Lock(), (-1, [])

  def __getstate__(self) -> dict[str, Any]:  # for worker processes
    return self.__dict__ | {"_lock": None, "_window": (-1, [])}

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state, _lock=threading.Lock())

  def __getitem__(self, index: int) -> Row:
    window, place = divmod(index, self._batches * self._batch_size)
    with self._lock:
      if self._window[0] != window:
        self._window = window, self._arranged(window)
      return self._window[1][place]

  def _arranged(self, window: int) -> list[Row]:
    size = self._batches * self._batch_size
    positions = range(window * size, (window + 1) * size)
    keys = [self._order[position] for position in positions]
    lengths = np.array([self._lengths[source][row] for source, row in keys])
    last = len(self._buckets) - 1
    bucket = np.where(lengths < 0, last, np.searchsorted(self._buckets, lengths))
    batches = np.argsort(bucket, kind="stable").reshape(self._batches, self._batch_size)
    rng = Place(seed=self._seed, position=window, stream=_STREAM).rng()
    rows = []
    for batch in rng.permutation(batches):
      length = int(self._buckets[bucket[batch].max()])
      rows += [Row(positions[i], keys[i], length) for i in batch]
    return rows

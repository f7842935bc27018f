"""Loads the example at a place in the order; a record that cannot be unpacked is replaced."""

import logging
import threading
from typing import Any

import numpy as np

from pretrainjax.data.buckets import Row
from pretrainjax.data.field import Field, Place
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError

_log = logging.getLogger(__name__)


class Load:
  """Makes an example from its position in the order and the record that stands there."""

  def __init__(self, data: Any, seed: int):
    self._data, self._seed = data, seed
    self._seen = self._bad = 0
    self._lock = threading.Lock()

  def __getstate__(self) -> dict[str, Any]:  # for worker processes, which count for themselves
    return {"_data": self._data, "_seed": self._seed, "_seen": 0, "_bad": 0}

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state, _lock=threading.Lock())
    self._data.field.settle()

  def __call__(self, row: Row) -> dict[str, np.ndarray]:
    """The example at a place of the order."""
    example = self._example(row)
    del example["valid"]
    return example

  def at(self, position: int, key: tuple[int, int]) -> dict[str, np.ndarray]:
    """The example at a position of an order that is not arranged."""
    return self(Row(position, key, None))

  def in_order(self, position: int, key: tuple[int, int]) -> dict[str, np.ndarray]:
    """The example with "valid", False where another record stands in for it."""
    return self._example(Row(position, key, None))

  def _example(self, row: Row) -> dict[str, np.ndarray]:
    data, (record, label, piece, offset) = self._data, self._readable(row)
    # The position is this example's alone: the same crop on any thread, process or host.
    example = data.field.arrays(record, Place(piece, self._seed, row.position))
    if row.length is not None:
      example = data.field.cut(example, row.length)
    example["valid"] = np.bool_(offset == 0)
    if label is not None and data.class_names:
      example["label"] = np.int32(label)
    return example

  def name(self, row: Row) -> str:
    """The name of the record that an example comes from, with its piece."""
    source, first = row.key
    data, rows = self._data, self._data.rows_used[source]
    *_, offset = self._readable(row)
    number, piece = divmod(int(rows[(first + offset) % len(rows)]), data.num_pieces[source])
    name = _name(data.sources[source], number)
    return name if data.num_pieces[source] == 1 else f"{name}+{piece}"

  def _readable(self, row: Row) -> tuple[Any, int | None, int, int]:
    """(record, class, piece) of an example, or of the next one that serves, and fits, instead.

    Both depend on nothing but the row. The fourth value says how far on that one stands, 0 for the
    example itself.
    """
    source, first = row.key
    data, rows = self._data, self._data.rows_used[source]
    message = f"{data.sources[source].name}: found no example with anything in it"
    for offset in range(len(rows)):
      index = (first + offset) % len(rows)
      if row.length is not None and data.row_lengths[source][index] > row.length:
        continue
      number, piece = divmod(int(rows[index]), data.num_pieces[source])
      record = self._record(source, number)
      with self._lock:
        self._seen += 1
        self._bad += isinstance(record, str)
        seen, bad = self._seen, self._bad
      if not isinstance(record, str):
        if data.field.is_empty(record[0], piece=piece):
          continue
        return *record, piece, offset
      _log.warning("record skipped: %s", record)
      message = (
        f"--{data.config_key}.max_bad_fraction: {bad} of {seen} records cannot be unpacked, "
        f"expected at most {data.max_bad_fraction:.2%}; the last one: {record}"
      )
      if bad > data.max_bad_fraction * max(seen, 1000):
        break
    raise UserError(message)

  def _record(self, source: int, number: int) -> tuple[Any, int | None] | str:
    data = self._data
    if data.cached is not None:
      return data.cached[source][number]
    return unpacked(data.field, data.sources[source], np.array([number]))[0]


def unpacked(field: Field, source: PreparedSplit, numbers: np.ndarray) -> list[Any]:
  """The pair (unpacked record, class) of each number, or in words what is wrong with it."""
  try:
    found = source.records(numbers)
  except RuntimeError as error:  # the file is damaged: find out where
    if len(numbers) == 1:
      return [_complaint(source, numbers[0], error)]
    return [unpacked(field, source, numbers[i : i + 1])[0] for i in range(len(numbers))]
  records = []
  for number, fields in zip(numbers, found, strict=True):
    try:
      records.append((field.unpack(source, fields), source.label(fields)))
    except ValueError as error:
      records.append(_complaint(source, number, error))
  return records


def _complaint(source: PreparedSplit, number: int | np.integer, error: Exception) -> str:
  """The message that names a record which cannot be read, with the reason in one line."""
  return f"{_name(source, number)}: {' '.join(str(error).split())}"


def _name(source: PreparedSplit, number: int | np.integer) -> str:
  return f"{source.name}/{source.split}/{number}"

"""Columns of a log as numbers: whatever they are written as, and which values are none."""

import datetime
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64

Unit = Literal["s", "ms", "us", "ns"]
_UNITS: dict[str, tuple[int, int]] = {  # microseconds = value * up // down
  "s": (1_000_000, 1),
  "ms": (1000, 1),
  "us": (1, 1),
  "ns": (1, 1000),
}
# Up to which a number that says when is in this unit: seconds until the year 5138.
_UP_TO = (("s", 1e11), ("ms", 1e14), ("us", 1e17), ("ns", np.inf))
_NOTHING = ("", "nan", "null", "none", "na", "n/a", "nat", "\\n", "<na>")
_LARGEST = 1 << 62
_ZONE = datetime.UTC


class Values(NamedTuple):
  """A column of numbers.

  Attributes:
    numbers: the values; 0 where there is none.
    missing: where nothing stands.
    wrong: where something stands that is no such number.
  """

  numbers: np.ndarray
  missing: Bool[np.ndarray, " N"]
  wrong: Bool[np.ndarray, " N"]


def texts(column: pa.Array) -> pa.Array:
  """A column as texts without space around them; null where nothing stands, or what is no text.

  Args:
    column: texts, bytes, numbers or truth values, with a dictionary or without.
  """
  if pa.types.is_dictionary(column.type):  # each value once
    values = texts(column.dictionary)
    return pa.DictionaryArray.from_arrays(column.indices, values)
  if pa.types.is_floating(column.type):  # a column with gaps makes 1.0 of 1
    column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    whole = _try_cast(column, pa.int64())
    column = column if whole is None else whole
  if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
    column = _utf8(column)
  spelled = _try_cast(column, pa.large_string())
  if spelled is None:  # lists, for one
    return pa.nulls(len(column), pa.large_string())
  found = pc.utf8_trim_whitespace(spelled)
  return pc.if_else(pc.equal(found, ""), pa.scalar(None, pa.large_string()), found)


def numbers(column: pa.Array) -> Values:
  """A column as float64, of numbers or of texts that spell them."""
  if _is_text(column.type):
    column, missing = _spelled(column)
    found = _try_cast(column, pa.float64())
    found = _one_by_one(column) if found is None else found
  else:
    missing = _mask(pc.is_null(column, nan_is_null=True))
    found = _try_cast(column, pa.float64())
    found = pa.nulls(len(column), pa.float64()) if found is None else found
  values = np.asarray(found.to_numpy(zero_copy_only=False), np.float64)
  good = np.isfinite(values) & ~missing
  return Values(np.where(good, values, 0.0), missing, ~good & ~missing)


def microseconds(column: pa.Array, unit: Unit) -> Values:
  """A column as microseconds since 1970, int64.

  Args:
    column: dates or times; numbers since 1970, or texts that spell them; texts as in ISO 8601,
      which without a zone are taken to be UTC.
    unit: the unit of numbers.
  """
  kind = column.type
  if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
    missing = _mask(pc.is_null(column))
    found = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    return Values(_filled(found), missing, np.zeros(len(column), bool))
  if _is_text(kind):
    column, missing = _spelled(column)
    whole = _try_cast(column, pa.int64())
    if whole is not None:
      return _scaled(_filled(whole), missing, unit)
    if (dates := _dates(column)) is not None:
      return Values(_filled(dates), missing, np.zeros(len(column), bool))
    return _mixed(column, missing, unit)
  if pa.types.is_integer(kind):
    whole = _try_cast(column, pa.int64())
    missing = _mask(pc.is_null(column))
    if whole is not None:
      return _scaled(_filled(whole), missing, unit)
  return _rounded(numbers(column), unit)


def unit_of(values: Float64[np.ndarray, " N"] | Sequence[float]) -> Unit:
  """The likeliest unit of numbers that say when, by their size.

  >>> unit_of([881250949.0]), unit_of([1.7e12]), unit_of([1.7e15]), unit_of([1.7e18])
  ('s', 'ms', 'us', 'ns')
  """
  middle = float(np.median(np.abs(np.asarray(values, np.float64)))) if len(values) else 0.0
  return next(name for name, limit in _UP_TO if middle < limit)  # pyright: ignore


def _is_text(kind: pa.DataType) -> bool:
  tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
  return any(test(kind) for test in (*tests, pa.types.is_large_binary, pa.types.is_dictionary))


def _spelled(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
  """A column of texts, and where nothing stands, whatever that is spelled as."""
  found = texts(column)
  found = found.dictionary_decode() if pa.types.is_dictionary(found.type) else found
  nothing = pa.array(_NOTHING, pa.large_string())
  is_nothing = pc.is_in(pc.utf8_lower(found), value_set=nothing)
  found = pc.if_else(is_nothing, pa.scalar(None, pa.large_string()), found)
  return found, _mask(pc.is_null(found))


def _dates(column: pa.Array) -> pa.Array | None:
  """Texts of one form as microseconds; None where one of them has another form."""
  for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
    if (found := _try_cast(column, kind)) is not None:
      return found.cast(pa.int64())
  return None


def _mixed(column: pa.Array, missing: np.ndarray, unit: Unit) -> Values:
  """Texts of several forms: each different one is read by itself."""
  decimal = _try_cast(column, pa.float64())
  if decimal is None:
    encoded = column.dictionary_encode()
    read = [_moment(text, unit) for text in encoded.dictionary.to_pylist()]
    table = np.array([0 if one is None else one for one in read] or [0], np.int64)
    is_wrong = np.array([one is None for one in read] or [True])
    places = _filled(encoded.indices)
    return Values(np.where(missing, 0, table[places]), missing, is_wrong[places] & ~missing)
  return _rounded(numbers(decimal)._replace(missing=missing), unit)


def _moment(text: str, unit: Unit) -> int | None:
  number = _float(text)
  if number is not None and np.isfinite(number):
    up, down = _UNITS[unit]
    found = round(number * up / down)
    return found if abs(found) < _LARGEST else None
  try:
    moment = datetime.datetime.fromisoformat(text)
  except ValueError:
    return None
  moment = moment if moment.tzinfo else moment.replace(tzinfo=_ZONE)
  since = moment - datetime.datetime(1970, 1, 1, tzinfo=_ZONE)
  return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _rounded(found: Values, unit: Unit) -> Values:
  """Numbers that need not be whole as microseconds."""
  up, down = _UNITS[unit]
  scaled = np.round(found.numbers * (up / down))
  is_good = np.abs(scaled) < _LARGEST
  whole = np.where(is_good, scaled, 0).astype(np.int64)
  return Values(whole, found.missing, (found.wrong | ~is_good) & ~found.missing)


def _scaled(whole: Int64[np.ndarray, " N"], missing: np.ndarray, unit: Unit) -> Values:
  """Whole numbers as microseconds."""
  up, down = _UNITS[unit]
  is_good = np.abs(whole // down) < _LARGEST // up
  return Values(np.where(is_good, whole // down * up, 0), missing, ~is_good & ~missing)


def _utf8(column: pa.Array) -> pa.Array:
  """Bytes as texts; null where they are none."""
  kind = pa.large_string()
  found = _try_cast(column, kind)
  if found is not None:
    return found
  return pa.array([_decoded(value) for value in column.to_pylist()], kind)


def _decoded(value: bytes | None) -> str | None:
  try:
    return None if value is None else value.decode()
  except UnicodeDecodeError:
    return None


def _float(text: str | None) -> float | None:
  try:
    return None if text is None or "_" in text else float(text)
  except ValueError:
    return None


def _one_by_one(column: pa.Array) -> pa.Array:
  encoded = column.dictionary_encode()
  read = pa.array([_float(text) for text in encoded.dictionary.to_pylist()], pa.float64())
  return read.take(encoded.indices)


def _try_cast(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
  try:
    return column.cast(kind)
  except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
    return None


def _filled(column: pa.Array) -> Int64[np.ndarray, " N"]:
  """Whole numbers, 0 where there is none."""
  whole = column.cast(pa.int64())
  return (whole.fill_null(0) if whole.null_count else whole).to_numpy(zero_copy_only=False)


def _mask(column: pa.Array) -> Bool[np.ndarray, " N"]:
  return column.to_numpy(zero_copy_only=False).astype(bool)

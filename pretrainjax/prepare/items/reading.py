"""Rows of files as events, and as what is known of items and users; what is wrong is counted."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pretrainjax.data.records import Damaged
from pretrainjax.prepare.contract import Reached, Remark, Unreadable
from pretrainjax.prepare.items.columns import EventFields, TableFields
from pretrainjax.prepare.items.events import Described, Events
from pretrainjax.prepare.items.log_files import LogFile, Rows
from pretrainjax.prepare.items.values import Values, microseconds, numbers, texts
from pretrainjax.prepare.text.streams import NoText

Item = Events | Described | Unreadable | Remark | Reached
_LONGEST_ID = 1000  # letters


def events_of(file: LogFile, fields: EventFields, *, key: str) -> Iterator[Item]:
  """The events of a file, many at once, in its order.

  Args:
    file: the file that is read.
    fields: the names of its columns, none of them to be guessed.
    key: the name of the file, for messages.
  """
  for block in file.blocks(fields.names(), key=key):
    if isinstance(block, Rows):
      yield from _events(block, fields, key)
    else:
      yield block


def _events(rows: Rows, fields: EventFields, key: str) -> Iterator[Events | Unreadable]:
  """Rows as events, after those that are none."""
  block = rows.batch
  users, items = texts(block.column(fields.user)), texts(block.column(fields.item))
  wrong = {"without a user": _absent(users), "without an item": _absent(items)}
  times = ratings = None
  if fields.time is not None:
    found = microseconds(block.column(fields.time), _unit(fields))
    wrong |= {"without a time": found.missing, "a time that is none": found.wrong}
    times = found.numbers
  if fields.rating is not None:
    ratings = _or_nan(numbers(block.column(fields.rating)))
  kinds = None if fields.event is None else _plain(texts(block.column(fields.event)))
  is_good = np.ones(len(block), bool)
  for reason, places in wrong.items():
    places = places & is_good  # one reason a row
    if count := int(places.sum()):
      first = rows.number(int(np.argmax(places)))
      yield Unreadable(f"{key}:{first}", reason, num_records=count)
      is_good &= ~places
  if is_good.any():
    name = f"{key}:{rows.number(int(np.argmax(is_good)))}"
    yield Events(name, users, items, times, ratings, kinds).where(is_good)


def described(file: LogFile, fields: TableFields, *, of: str, key: str) -> Iterator[Item]:
  """What a table says of items or users.

  Args:
    file: the file of the table.
    fields: the names of its columns, none of them to be guessed.
    of: "item" or "user".
    key: the name of the file, for messages.
  """
  try:
    for number, row in file.rows():
      place = f"{key}:{number}"
      if not isinstance(row, Mapping):
        yield Unreadable(place, row if isinstance(row, str) else "not a record of fields")
        continue
      name = _line(row.get(fields.id or ""))
      if name is None:
        yield Unreadable(place, f"without the id of the {of}")
        continue
      title = _line(row.get(fields.title)) if fields.title is not None else None
      yield Described(place, of, name, title, _features(row, fields))
  except (NoText, Damaged) as error:
    yield Unreadable(key, str(error))
  except OSError as error:
    yield Unreadable(key, f"cannot be read ({error.strerror or error})")


def _features(row: Mapping[str, Any], fields: TableFields) -> dict[str, str | list[str]]:
  found: dict[str, str | list[str]] = {}
  for name in fields.features:
    value = row.get(name)
    if isinstance(value, str) and fields.separator is not None and fields.separator in value:
      value = value.split(fields.separator)
    if isinstance(value, (list, tuple)):
      several = [text for one in value if (text := _line(one)) is not None]
      found |= {name: several} if several else {}
    elif (text := _line(value)) is not None:
      found[name] = text
  return found


def _line(value: Any) -> str | None:
  """A value as text on one line; None for nothing, and for what is no single value."""
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, float):
    if not np.isfinite(value):
      return None
    value = int(value) if value.is_integer() else value
  if not isinstance(value, (str, int, float)):
    return None
  found = " ".join(str(value).encode("utf-8", "replace").decode().split())
  return found or None


def _absent(names: pa.Array) -> np.ndarray:
  """Where there is no id."""
  return names.is_null().to_numpy(zero_copy_only=False)


def _or_nan(found: Values) -> np.ndarray:
  return np.where(found.missing | found.wrong, np.nan, found.numbers)


def _plain(names: pa.Array) -> pa.Array:
  return names.dictionary_decode() if pa.types.is_dictionary(names.type) else names


def _unit(fields: EventFields) -> Any:
  return "s" if fields.unit == "auto" else fields.unit

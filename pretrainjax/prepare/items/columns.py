"""Which column of a log is what: named by the user, or guessed and told."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from pretrainjax.errors import UserError, nearest
from pretrainjax.prepare.items.values import Unit, microseconds, numbers, unit_of

# Names that columns have, in small letters and digits alone: RecBole's, MovieLens's, Amazon's,
# RetailRocket's, H&M's and others.
_NAMES = {
  "user": "user userid uid reviewerid reviewer customer customerid visitor visitorid client"
  " clientid member memberid account accountid authorid session sessionid userindex useridx",
  "item": "item itemid iid movie movieid product productid asin parentasin article articleid book"
  " bookid isbn song songid track trackid video videoid business businessid sku content contentid"
  " listing listingid itemindex itemidx streamid",
  "time": "timestamp time unixreviewtime ts unixtime datetime date eventtime createdat created tdat"
  " reviewtime visitdate purchasedate",
  "rating": "rating ratings score stars overall rate",
  "event": "event eventtype behavior behaviour behaviortype action actiontype interaction type",
}
_ROLES = tuple(_NAMES)
_TITLES = "title movietitle name itemname productname producttitle booktitle songname trackname"
_A_TIME = 1e6  # what is smaller, of columns without names, is a rating


@dataclasses.dataclass(frozen=True)
class EventFields:
  """Names of columns or fields of a log; None is guessed. Columns without names are "1", "2", ...

  Attributes:
    user: the id of the user.
    item: the id of the item.
    time: when it was.
    unit: the unit of times that are numbers; "auto" goes by their size.
    rating: how the user rated the item.
    event: what happened, such as "view".
  """

  user: str | None = None
  item: str | None = None
  time: str | None = None
  unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
  rating: str | None = None
  event: str | None = None

  def completed(self, rows: Sequence[Mapping[str, Any]], *, file: str) -> "EventFields":
    """The fields with a guess for each that is None and that the rows have.

    Args:
      rows: the first rows of a log.
      file: the name of the log, for messages.

    Raises:
      UserError: for a column that was named and is not there, and where users or items are in none.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for role in _ROLES:
      named = getattr(self, role)
      if named is not None and named not in columns:
        raise UserError(
          f"--config.source.fields.{role}: '{file}' has no '{named}'{nearest(named, columns)}"
        )
    taken = {getattr(self, role) for role in _ROLES}
    free = [name for name in columns if name not in taken]
    guesses = {role: _named(free, role) for role in _ROLES}
    if columns and all(name.isdigit() for name in columns):
      guesses = _by_place(free, rows)
    found = dataclasses.replace(
      self, **{role: getattr(self, role) or guesses.get(role) for role in _ROLES}
    )
    for role in ("user", "item"):
      if getattr(found, role) is None:
        raise UserError(
          f"--config.source.fields.{role}: expected the column of {role}s of '{file}', which has "
          f"{', '.join(columns) or 'no columns'}"
        )
    return dataclasses.replace(found, unit=found._unit(rows))

  def _unit(self, rows: Sequence[Mapping[str, Any]]) -> Unit:
    if self.unit != "auto":
      return self.unit
    values = [] if self.time is None else [_number(row.get(self.time)) for row in rows]
    return unit_of([value for value in values if value is not None])

  def names(self) -> list[str]:
    """The names of all columns that are read."""
    named = (getattr(self, role) for role in _ROLES)
    return list(dict.fromkeys(name for name in named if name is not None))

  def described(self, rows: Sequence[Mapping[str, Any]]) -> str:
    """The fields in words.

    Args:
      rows: the first rows of the log.
    """
    pairs = [f"{role}={getattr(self, role)}" for role in _ROLES if getattr(self, role) is not None]
    is_number = any(_number(row.get(self.time or "")) is not None for row in rows)
    unit = f" in {self.unit}" if is_number else ""
    told = [f"{pair}{unit}" if pair.startswith("time=") else pair for pair in pairs]
    return ", ".join(told) + ("" if self.time else ", no times: the order of rows")


@dataclasses.dataclass(frozen=True)
class TableFields:
  """Names of columns of a table of items or users; None is guessed.

  Attributes:
    id: the id, as the log has it.
    title: the title; users have none.
    features: further columns that are stored; () takes all that are left.
    separator: what stands between the values of a feature that has several, "|" for one; None takes
      each as it is.
  """

  id: str | None = None
  title: str | None = None
  features: tuple[str, ...] = ()
  separator: str | None = None

  def completed(
    self, columns: Sequence[str], *, of: Literal["item", "user"], file: str, key: str
  ) -> "TableFields":
    """The fields with a guess for each that is not given.

    Args:
      columns: the names of all columns.
      of: what the table describes.
      file: its name, for messages.
      key: the flag that has these fields, for messages.

    Raises:
      UserError: for a column that was named and is not there, and where none has the ids.
    """
    given = [("id", self.id), ("title", self.title), *(("features", f) for f in self.features)]
    for role, name in given:
      if name is not None and name not in columns:
        raise UserError(f"--{key}.{role}: '{file}' has no '{name}'{nearest(name, columns)}")
    number = self.id or _named(columns, of) or _called(columns, "id") or (columns or [None])[0]
    if number is None:
      raise UserError(f"--{key}.id: '{file}' has no columns")
    rest = [name for name in columns if name != number]
    title = self.title or (_called(rest, _TITLES) if of == "item" else None)
    features = self.features or tuple(name for name in rest if name != title)
    return dataclasses.replace(self, id=number, title=title, features=features)

  def described(self) -> str:
    """The fields in words."""
    title = f", title={self.title}" if self.title else ""
    return f"id={self.id}{title}, features={'+'.join(self.features) or 'none'}"


def has_names(cells: Collection[Any]) -> bool:
  """Whether the cells of a first row name the columns of a log."""
  plain = {_plain(str(cell)) for cell in cells}
  return all(plain & {*_NAMES[role].split()} for role in ("user", "item"))


def _called(columns: Sequence[str], names: str) -> str | None:
  """The column that has the first of these names that any has."""
  found = {_plain(name): name for name in reversed(columns)}
  return next((found[name] for name in names.split() if name in found), None)


def _named(columns: Sequence[str], role: str) -> str | None:
  return _called(columns, _NAMES[role])


def _plain(name: str) -> str:
  return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_place(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
  """Columns without names, in the usual order: user, item, rating, time."""
  found = dict(zip(("user", "item"), columns, strict=False))
  for name in columns[2:]:
    values = [_number(row.get(name)) for row in rows]
    known = [abs(value) for value in values if value is not None]
    are_numbers = len(known) > len(values) / 2
    if are_numbers and sorted(known)[len(known) // 2] < _A_TIME:
      found.setdefault("rating", name)
    elif are_numbers or _are_dates([row.get(name) for row in rows]):
      found.setdefault("time", name)
    else:
      found.setdefault("event", name)
  return found


def _are_dates(values: Sequence[Any]) -> bool:
  texts = pa.array([str(value) for value in values], pa.string())
  return int(microseconds(texts, "s").wrong.sum()) * 2 < len(values)


def _number(value: Any) -> float | None:
  if isinstance(value, bool) or not isinstance(value, (int, float, str)):
    return None
  found = numbers(pa.array([str(value)]))
  return None if found.missing[0] or found.wrong[0] else float(found.numbers[0])

"""Who and what the numbers of a prepared set of interactions stand for: ids, titles, features."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from pretrainjax.data.records import lines, parsed
from pretrainjax.untrusted import BadFile, open_file

ITEMS, USERS = "items.jsonl", "users.jsonl"
Features = Mapping[str, Any]
_NONE: Features = {}  # one for all that have none: there may be millions


@dataclasses.dataclass(frozen=True, eq=False)
class _Table:
  """Entries by number.

  Attributes:
    ids: the ids as the log has them.
    titles: the titles; "" where none is known.
    counts: the number of events in training.
    features: the features by name, a text or a list of texts each; {} where none is known.
  """

  ids: Sequence[str] = dataclasses.field(repr=False)
  titles: Sequence[str] = dataclasses.field(repr=False)
  counts: Int64[np.ndarray, " N"] = dataclasses.field(repr=False)
  features: Sequence[Features] = dataclasses.field(repr=False)

  def number_of(self, name: str) -> int | None:
    """The number of an id; None for one that the log has not."""
    return self._numbers.get(name)

  @functools.cached_property
  def _numbers(self) -> dict[str, int]:
    return {name: number for number, name in enumerate(self.ids)}


class ItemTable(_Table):
  """Items by number, from 1; 0 is padding, whose id and title are empty."""

  @classmethod
  def load(cls, folder: Path) -> "ItemTable":
    """Reads items.jsonl in the folder of a prepared set.

    Raises:
      BadFile: for a file that is missing, damaged, or holds something else.
    """
    return cls(*_columns(folder / ITEMS, with_padding=True))

  @property
  def num_items(self) -> int:
    """The number of items, without padding."""
    return len(self.ids) - 1

  def number_of(self, name: str) -> int | None:
    """The number of an id, from 1; None for one that the log has not."""
    return super().number_of(name) or None


class UserTable(_Table):
  """Users by number, from 0."""

  @classmethod
  def load(cls, folder: Path) -> "UserTable":
    """Reads users.jsonl in the folder of a prepared set; see `ItemTable.load`."""
    return cls(*_columns(folder / USERS, with_padding=False))

  @property
  def num_users(self) -> int:
    """The number of users."""
    return len(self.ids)


def digest_of_items(folder: Path) -> str:
  """A fingerprint of a set's table of items: item numbers of sets with the same mean the same.

  Args:
    folder: the folder of the prepared set.

  Raises:
    BadFile: where there is no such table.
  """
  with open_file(folder / ITEMS, inside=folder) as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _columns(path: Path, *, with_padding: bool) -> tuple:
  ids, titles, counts, features = [], [], [], []
  if with_padding:
    ids, titles, counts, features = [""], [""], [0], [_NONE]
  for entry in _entries(path):
    ids.append(entry["id"])
    titles.append(entry.get("title", ""))
    counts.append(entry["count"])
    features.append(entry.get("features") or _NONE)
  return ids, titles, np.array(counts, np.int64), features


def _entries(path: Path) -> Iterator[dict[str, Any]]:
  try:
    with open_file(path, inside=path.parent) as file:
      for number, line in enumerate(lines(file), 1):
        entry = parsed(line)
        if (wrong := _why_wrong(entry)) is not None:
          raise BadFile(path, f"line {number}: {wrong}")
        yield entry
  except OSError as error:
    raise BadFile(path, f"cannot be read ({error.strerror})") from error


def _why_wrong(entry: Any) -> str | None:
  if isinstance(entry, str):
    return entry
  if not isinstance(entry, dict):
    return "not a record of fields"
  kinds = {"id": str, "title": str, "count": int, "features": dict}
  given = {"title": "", "features": {}} | entry
  wrong = [name for name, kind in kinds.items() if type(given.get(name)) is not kind]
  if wrong:
    return f"{wrong[0]}={given.get(wrong[0])!r}, expected {kinds[wrong[0]].__name__}"
  is_count = 0 <= given["count"] < 2**63
  return None if is_count else f"count={given['count']}, expected a number of events"

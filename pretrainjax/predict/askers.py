"""Who asks for recommendations: users of the log, histories of others, or a file of either."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pretrainjax.data.records import Damaged, column_names, lines, parsed, rows
from pretrainjax.errors import UserError, nearest
from pretrainjax.predict.item_log import ItemLog, Taken
from pretrainjax.untrusted import BadFile, open_file

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
_FIELDS = ("user", "history")


class Asker(NamedTuple):
  """One who asks.

  Attributes:
    name: the id of the user, or the history as it was given.
    user: the number of the user; one above the last for nobody whom the log knows.
    events: what is known to have been taken; nothing of a cold user.
    unknown: names in a history that no item has.
  """

  name: str
  user: int
  events: Taken
  unknown: tuple[str, ...] = ()

  @property
  def is_cold(self) -> bool:
    """Whether nothing is known of what was taken."""
    return len(self.events.items) == 0


class Question(NamedTuple):
  """A row of a file, or a flag: a user's id, or names of items.

  Attributes:
    user: the id of the user; None where there is a history.
    history: the names of items, oldest first; None where there is a user.
  """

  user: str | None
  history: Sequence[str] | str | None


def known_user(name: str, log: ItemLog) -> Asker:
  """A user by the id that the log has; one that it has not is cold."""
  number = log.users.number_of(name)
  if number is None:
    return Asker(name, log.users.num_users, _nothing())
  return Asker(name, number, log.all_events(number))


def somebody(history: Sequence[str] | str, log: ItemLog) -> Asker:
  """Somebody by what they took; names that no item has are left out.

  Args:
    history: names of items, oldest first, or a text of them with commas.
    log: the set whose items are meant.
  """
  names = log.names.split(history) if isinstance(history, str) else [*history]
  numbers = [log.names.find(name) for name in names]
  items = np.array([n for n in numbers if n is not None], np.int32)
  unknown = tuple(name for name, number in zip(names, numbers, strict=True) if number is None)
  events = Taken(items, np.zeros(len(items), np.int64))  # when is not known: all at once
  return Asker(", ".join(names), log.users.num_users, events, unknown)


def asker_of(question: Question, log: ItemLog) -> Asker:
  """Who asks, by a row of a file."""
  if question.history is not None:
    return somebody(question.history, log)
  return known_user(question.user or "", log)


def read_questions(path: Path) -> list[Question]:
  """The rows of a file: a "user", or a "history" of names, as a list or a text with commas.

  Args:
    path: a file of one of SUFFIXES.

  Raises:
    UserError: for a file that is missing, of another kind or damaged, or a row without either.
  """
  if path.suffix not in SUFFIXES:
    raise UserError(f"--file: found '{path}', expected one of {', '.join(SUFFIXES)}")
  found = []
  try:
    for number, row in enumerate(_rows(path), start=1):
      found.append(_question(row, f"row {number} of '{path}'"))
  except Damaged as error:
    raise UserError(f"--file: '{path}' is {error}") from error
  except BadFile as error:
    raise UserError(f"--file: '{error.path}' {error.reason}") from error
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"--file: cannot read '{path}' ({error})") from error
  if not found:
    raise UserError(f"--file: '{path}' holds no row, expected a user or a history in each")
  return found


def _rows(path: Path) -> Iterator[Any]:
  if path.suffix == ".parquet":
    names = column_names(path)
    columns = [name for name in _FIELDS if name in names]
    if not columns:
      raise Damaged(f"without a column 'user' or 'history'{nearest('user', names)}")
    yield from rows(path, columns)
    return
  with open_file(path) as file:
    if path.suffix == ".jsonl":
      yield from (parsed(line) for line in lines(file))
    else:
      text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
      yield from csv.DictReader(text, delimiter="\t" if path.suffix == ".tsv" else ",")


def _question(row: Any, where: str) -> Question:
  if not isinstance(row, dict):
    raise UserError(f"--file: {where}: found {row}, expected a record with 'user' or 'history'")
  user, history = (row.get(name) for name in _FIELDS)
  if history is not None and history != "":
    if isinstance(history, (list, tuple)):
      return Question(None, [str(name) for name in history])
    return Question(None, str(history))
  if user is None or user == "":
    raise UserError(
      f"--file: {where}: found neither 'user' nor 'history'{nearest('user', map(str, row))}"
    )
  return Question(str(user), None)


def _nothing() -> Taken:
  return Taken(np.zeros(0, np.int32), np.zeros(0, np.int64))

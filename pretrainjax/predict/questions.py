"""Reads the questions of a file that a user has, each with its context."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pretrainjax.data.records import Damaged, column_names, lines, parsed, rows
from pretrainjax.errors import UserError, nearest
from pretrainjax.predict.texts import import_parquet
from pretrainjax.prepare.text.json_files import json_records
from pretrainjax.prepare.text.questions import flattened
from pretrainjax.untrusted import open_file

SUFFIXES = (".json", ".jsonl", ".parquet")
_FIELDS = ("question", "context")


class Question(NamedTuple):
  """A question about a text.

  Attributes:
    id: what its source calls it; its place where that says nothing.
    question: what is asked.
    context: the text in which the answer is looked for.
  """

  id: str
  question: str
  context: str


def read_questions(path: Path) -> Iterator[Question]:
  """Yields the questions of a file, in order.

  Args:
    path: SQuAD's .json, or records with "question", "context" and perhaps "id" of a .json, .jsonl
      or .parquet.

  Raises:
    UserError: for a file that is missing or of another kind, and for a record without one of these.
  """
  if path.suffix not in SUFFIXES:
    raise UserError(f"--input: found '{path}', expected one of {', '.join(SUFFIXES)}")
  if not path.is_file():
    beside = [p.name for p in path.parent.glob("*") if p.suffix in SUFFIXES]
    raise UserError(f"--input: no file '{path}'{nearest(path.name, beside)}")
  read = {".json": _json, ".jsonl": _jsonl, ".parquet": _parquet}[path.suffix]
  for place, record in enumerate(read(path), start=1):
    yield _question(record, path, place)


def _json(path: Path) -> Iterator[Any]:
  with open_file(path) as file:
    yield from flattened(json_records(file))


def _jsonl(path: Path) -> Iterator[Any]:
  with open_file(path) as file:
    yield from (parsed(line) for line in lines(file) if line is None or line.strip())


def _parquet(path: Path) -> Iterator[Any]:
  import_parquet()
  try:
    there = column_names(path)
    wanted = [name for name in (*_FIELDS, "id") if name in there]
    found = rows(path, wanted) if wanted else itertools.repeat({}, 1)
    yield from ("no values that Python has" if row is None else row for row in found)
  except Damaged as error:
    raise UserError(f"--input: '{path}': found {error}") from error


def _question(record: Any, path: Path, place: int) -> Question:
  if not isinstance(record, dict):
    found = record if isinstance(record, str) else "not a record of fields"
    raise UserError(f"{path}: record {place}: found no question, but something that is {found}")
  for name in _FIELDS:
    if not isinstance(record.get(name), str):
      hint = nearest(name, map(str, record))
      raise UserError(f"{path}: record {place} has no text '{name}'{hint}")
  found = Question(str(record.get("id", place)), *(record[name] for name in _FIELDS))
  try:
    "".join(found).encode()
  except UnicodeEncodeError as error:  # halves of surrogate pairs, which JSON can spell
    raise UserError(f"{path}: record {place} is not UTF-8 ({error.reason})") from error
  return found

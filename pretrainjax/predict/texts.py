"""Reads the texts of a file that a user has, one after the other."""

from collections.abc import Iterator
from pathlib import Path

from pretrainjax.data.records import Damaged, lines, parsed, rows
from pretrainjax.errors import UserError, nearest
from pretrainjax.untrusted import open_file

SUFFIXES = (".txt", ".jsonl", ".parquet")


def read_texts(path: Path, *, field: str = "text", flag: str = "--input") -> Iterator[str]:
  """Yields the texts of a file, in order; never more of it is in memory than a piece.

  Args:
    path: the file: lines of a .txt, objects of a .jsonl, rows of a .parquet.
    field: the key of the objects, or the column, that holds the text.
    flag: the flag that named the file, for messages.

  Raises:
    UserError: for a file that is missing or of another kind, and for a line without a text.
  """
  if path.suffix not in SUFFIXES:
    raise UserError(f"{flag}: found '{path}', expected one of {', '.join(SUFFIXES)}")
  if not path.is_file():
    beside = [p.name for p in path.parent.glob("*") if p.suffix in SUFFIXES]
    raise UserError(f"{flag}: no file '{path}'{nearest(path.name, beside)}")
  read = {".txt": _lines, ".jsonl": _objects, ".parquet": _rows}[path.suffix]
  return read(path, field)


def _lines(path: Path, field: str) -> Iterator[str]:
  del field
  with open_file(path) as file:
    for number, line in enumerate(lines(file), start=1):
      if line is None:
        raise UserError(f"{path}:{number}: found a {parsed(line)}")
      yield _decoded(line, path, number).rstrip("\r\n")


def _objects(path: Path, field: str) -> Iterator[str]:
  with open_file(path) as file:
    for number, line in enumerate(lines(file), start=1):
      found = parsed(line)
      if isinstance(found, str):
        raise UserError(f"{path}:{number}: found no text, but something that is {found}")
      if not isinstance(found, dict) or not isinstance(found.get(field), str):
        hint = nearest(field, map(str, found)) if isinstance(found, dict) else ""
        raise UserError(f"{path}:{number}: has no text '{field}' (--field){hint}")
      yield _whole(found[field], path, number)


def _rows(path: Path, field: str) -> Iterator[str]:
  import_parquet()
  try:
    for number, row in enumerate(rows(path, [field]), start=1):
      text = None if row is None else row[field]
      if not isinstance(text, str):
        found = type(text).__name__
        raise UserError(f"{path}: row {number} of '{field}' is a {found}, expected a text")
      yield text
  except Damaged as error:
    hint = nearest(field, error.columns) if error.columns else ""
    raise UserError(f"--field: '{path}': found {error}{hint}") from error


def import_parquet():
  """Imports pyarrow's module for .parquet files, which only some installations have."""
  try:
    import pyarrow.parquet as parquet  # optional, and slow to load
  except ImportError as error:
    raise UserError("a .parquet file needs pyarrow: pip install pyarrow") from error
  return parquet


def _whole(text: str, path: Path, number: int) -> str:
  """The text, unless it holds halves of surrogate pairs, which JSON can spell."""
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise UserError(f"{path}:{number}: is not UTF-8 ({error.reason})") from error
  return text


def _decoded(line: bytes, path: Path, number: int) -> str:
  try:
    return line.decode("utf-8-sig" if number == 1 else "utf-8")
  except UnicodeDecodeError as error:
    raise UserError(f"{path}:{number}: is not UTF-8 ({error.reason})") from error

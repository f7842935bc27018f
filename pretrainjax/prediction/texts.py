"""Texts out of a file that a user has, one after the other."""

import json
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.errors import UserError, nearest

SUFFIXES = (".txt", ".jsonl", ".parquet")


def read_texts(path: Path, *, field: str = "text", flag: str = "--input") -> Iterator[str]:
  """The texts of a file, in order; never more of it in memory than a piece.

  Args:
    path: lines of a .txt, objects of a .jsonl, rows of a .parquet.
    field: of the objects or rows, where the text stands.
    flag: that named the file, for messages.

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
  with path.open("rb") as file:
    for number, line in enumerate(file, start=1):
      yield _decoded(line, path, number).rstrip("\r\n")


def _objects(path: Path, field: str) -> Iterator[str]:
  with path.open("rb") as file:
    for number, line in enumerate(file, start=1):
      try:
        found = json.loads(_decoded(line, path, number))
      except json.JSONDecodeError as error:
        raise UserError(f"{path}:{number}: found no JSON ({error.msg})") from error
      if not isinstance(found, dict) or not isinstance(found.get(field), str):
        hint = nearest(field, map(str, found)) if isinstance(found, dict) else ""
        raise UserError(f"{path}:{number}: has no text '{field}' (--field){hint}")
      yield found[field]


def _rows(path: Path, field: str) -> Iterator[str]:
  parquet = import_parquet()
  try:
    file = parquet.ParquetFile(path)
  except Exception as error:  # pyarrow raises many kinds
    raise UserError(f"'{path}' is no Parquet file ({error})") from error
  with file:
    if field not in file.schema_arrow.names:
      hint = nearest(field, file.schema_arrow.names)
      raise UserError(f"--field: '{path}' has no column '{field}'{hint}")
    row = 0
    for batch in file.iter_batches(columns=[field], batch_size=1024):
      for text in batch.column(0).to_pylist():
        row += 1
        if not isinstance(text, str):
          found = type(text).__name__
          raise UserError(f"{path}: row {row} of '{field}' is a {found}, expected a text")
        yield text


def import_parquet():
  """pyarrow's module, which only some installations have."""
  try:
    import pyarrow.parquet as parquet  # optional, and slow to load
  except ImportError as error:
    raise UserError("a .parquet file needs pyarrow: pip install pyarrow") from error
  return parquet


def _decoded(line: bytes, path: Path, number: int) -> str:
  try:
    return line.decode("utf-8-sig" if number == 1 else "utf-8")
  except UnicodeDecodeError as error:
    raise UserError(f"{path}:{number}: is not UTF-8 ({error.reason})") from error

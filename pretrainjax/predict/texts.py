"""Reads the texts of a file that a user has, one after the other: what `prepare text` reads."""

import argparse
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pretrainjax.data.records import Damaged, lines, parsed
from pretrainjax.errors import UserError, nearest
from pretrainjax.prepare.contract import Reached, Unreadable
from pretrainjax.prepare.text.chat import NoChat, prompt_of
from pretrainjax.prepare.text.columns import completed, field_names, guessed
from pretrainjax.prepare.text.fields import Fields, value_at
from pretrainjax.prepare.text.formats import RECORDS, SUFFIXES, Reader, kind_of
from pretrainjax.prepare.text.streams import COMPRESSED, NoText, open_text
from pretrainjax.untrusted import open_file

FORMS = ".txt (lines), .jsonl, .json, .csv, .tsv, .conll or .parquet, also as .gz or .zst"
_COLUMNS = ("columns", "conllu")
_ENCODING = "--encoding"


def add_flags(parser: argparse.ArgumentParser, *, usual: str) -> None:
  """Adds the flags that say where in a file the texts are.

  Args:
    parser: the parser of the binary.
    usual: the field that is taken where there is one of the name.
  """
  parser.add_argument(
    "--field",
    help=f"the key or column of texts; a.b is b within a (default: {usual}, else a guess)",
  )
  parser.add_argument(
    _ENCODING, default="utf-8", help="of files without a byte order mark (default: utf-8)"
  )


def read_texts(
  path: Path,
  *,
  field: str = "text",
  flag: str = "--input",
  encoding: str = "utf-8",
  conversations: bool = False,
) -> Iterator[str]:
  """Yields the texts of a file, in order; never more of it is in memory than a piece.

  Args:
    path: the file: lines of a .txt, records of all else that `prepare text` reads.
    field: the key of the records, or the column, that holds the text; of columns without names it
      is "1", "2" and so on.
    flag: the flag that named the file, for messages.
    encoding: the encoding of a file without a byte order mark.
    conversations: whether a field may hold messages, which become a prompt as `prepare text` makes
      one; otherwise they are refused.

  Raises:
    UserError: for a file that is missing or of another kind, and for a record without a text.
  """
  kind = _kind(path, flag=flag, encoding=encoding)
  try:
    if kind == "lines":
      yield from _lines(path, encoding)
    else:
      yield from _texts_of_records(path, kind, field, encoding, conversations)
  except NoText as error:
    raise UserError(f"{flag}: '{path}' is {error}") from error
  except Damaged as error:
    hint = nearest(field, error.columns) if error.columns else ""
    raise UserError(f"--field: '{path}': found {error}{hint}") from error
  except OSError as error:
    raise UserError(f"{flag}: cannot read '{path}' ({error.strerror or error})") from error


def text_field(path: Path, *, named: str | None, usual: str, flag: str, encoding: str) -> str:
  """The field that holds the texts of a file: as named, else the usual one, else a guess.

  Args:
    path: the path of the file.
    named: as the user named it; None for nothing.
    usual: the field that is taken where there is one of the name.
    flag: the flag that named the file, for messages.
    encoding: the encoding of a file without a byte order mark.
  """
  kind = _kind(path, flag=flag, encoding=encoding)
  if named is not None or kind not in RECORDS:
    return named or usual
  rows = _reader(usual, encoding).head(path)
  if not rows or any(value_at(row, usual) is not None for row in rows):
    return usual
  is_columns = kind in _COLUMNS
  found = completed(Fields(), rows, kind=kind, file=path.name) if is_columns else guessed(rows)
  if found is not None and found.messages is not None:
    return found.messages
  return usual if found is None else found.text


def digest_of_texts(path: Path) -> str:
  """A digest of a file, for the identity of a command."""
  with open_file(path) as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def import_parquet():
  """Imports pyarrow's module for .parquet files, which only some installations have."""
  try:
    import pyarrow.parquet as parquet  # optional, and slow to load
  except ImportError as error:
    raise UserError("a .parquet file needs pyarrow: pip install pyarrow") from error
  return parquet


def _reader(field: str, encoding: str) -> Reader:
  return Reader(Fields(text=field), encoding=encoding, encoding_flag=_ENCODING)


def _kind(path: Path, *, flag: str, encoding: str) -> str:
  """What the file is; a file that is missing, or of no kind that is read, is refused."""
  try:
    "".encode(encoding)
  except (LookupError, UnicodeError):
    raise UserError(f"{_ENCODING}: found '{encoding}', expected one that Python knows") from None
  if not path.is_file():
    read = (*SUFFIXES, *COMPRESSED)
    beside = [p.name for p in path.parent.glob("*") if p.suffix.lower() in read]
    raise UserError(f"{flag}: no file '{path}'{nearest(path.name, beside)}")
  kind = kind_of(path, encoding=encoding)
  if kind is None:
    raise UserError(f"{flag}: found '{path}', expected one of {', '.join(SUFFIXES)}")
  if kind == "parquet" or path.suffix.lower() == ".zst":
    import_parquet()
  return kind


def _lines(path: Path, encoding: str) -> Iterator[str]:
  with open_text(path, encoding=encoding, flag=_ENCODING) as stream:
    for number, line in enumerate(lines(stream.utf8), start=1):
      if line is None:
        raise UserError(f"{path}:{number}: found a {parsed(line)}")
      yield _decoded(line, path, number).rstrip("\r\n")


def _texts_of_records(
  path: Path, kind: str, field: str, encoding: str, conversations: bool
) -> Iterator[str]:
  for number, record in _reader(field, encoding).raw_records(path):
    place = f"{path}: row {number + 1} of" if kind == "parquet" else f"{path}:{number}:"
    if isinstance(record, str):
      raise UserError(f"{place} found no text, but something that is {record}")
    if not isinstance(record, Reached):
      messages = _messages(record, field) if conversations else None
      text = _text(record, kind, field, place) if messages is None else _prompt(messages, place)
      yield _whole(text, place)


def _messages(record: Any, field: str) -> list | None:
  """The conversation of a record; None where its field is something else."""
  value = value_at(record, field) if isinstance(record, Mapping) else None
  is_conversation = isinstance(value, list) and any(isinstance(part, Mapping) for part in value)
  return value if is_conversation else None


def _prompt(messages: list, place: str) -> str:
  try:
    return prompt_of(messages)
  except NoChat as error:
    raise UserError(f"{place} found {error}, expected messages with role and content") from None


def _text(record: Any, kind: str, field: str, place: str) -> str:
  """The text of a record as `prepare text` takes it: of a list its paragraphs, or its words."""
  value = value_at(record, field) if isinstance(record, Mapping) else None
  if kind in _COLUMNS and value is not None:
    return " ".join(value)
  if kind != "parquet" and value is None:
    hint = nearest(field, field_names([record])) if isinstance(record, Mapping) else ""
    raise UserError(f"{place} has no text '{field}' (--field){hint}")
  document = Fields(text=field).document(record, key="")
  if isinstance(document, Unreadable):
    raise UserError(f"{place} '{field}' is a {type(value).__name__}, expected a text")
  return document.text


def _whole(text: str, place: str) -> str:
  """The text, unless it holds halves of surrogate pairs, which JSON can spell."""
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise UserError(f"{place} is not UTF-8 ({error.reason})") from error
  return text


def _decoded(line: bytes, path: Path, number: int) -> str:
  try:
    return line.decode()
  except UnicodeDecodeError as error:
    raise UserError(
      f"{path}:{number}: is not UTF-8 ({error.reason}; {_ENCODING} names another)"
    ) from error

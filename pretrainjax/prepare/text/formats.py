"""The documents of one file: text, a table, columns, JSON or parquet, in whatever state."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from pretrainjax.data.records import Damaged, column_names, lines, parsed, rows
from pretrainjax.prepare.contract import Reached, Unreadable
from pretrainjax.prepare.text.conll import Broken, columns_of, sentences
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.json_files import json_records
from pretrainjax.prepare.text.questions import flattened
from pretrainjax.prepare.text.streams import (
  COMPRESSED,
  ENCODING_FLAG,
  NoText,
  TextStream,
  open_text,
)
from pretrainjax.prepare.text.tables import dialect_of, table_rows
from pretrainjax.prepare.text.units import pieces
from pretrainjax.untrusted import BadFile

PIECE = 1 << 20  # characters: what is longer comes in pieces, for memory's sake
_HEAD = 1 << 14  # bytes
_EVERY = 1 << 20  # bytes between two notes of how far the reading is
_HEAD_RECORDS = 200
_NO_VALUES = "not UTF-8, or a value of no kind that Python has"
KINDS = {
  ".txt": "lines",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".json": "json",
  ".csv": "table",
  ".tsv": "table",
  ".conll": "columns",
  ".conllu": "conllu",
  **dict.fromkeys((".iob", ".iob2", ".bio", ".bio2", ".bioes", ".bilou"), "columns"),
  ".parquet": "parquet",
}
SUFFIXES = tuple(KINDS)
RECORDS = ("jsonl", "json", "table", "columns", "conllu", "parquet")

Item = Document | Unreadable | Reached


@dataclasses.dataclass(frozen=True)
class Reader:
  """Reads the documents of files.

  Attributes:
    fields: which field of a record is what.
    documents: what a document is in a .txt file; "auto" is the file, unless it has columns.
    part_characters: the most in a part, for documents="part".
    encoding: the encoding of files without a byte order mark.
    header: whether a table's first row names its columns; None goes by what stands in it.
    encoding_flag: the flag that names the encoding, for messages.
  """

  fields: Fields = Fields()
  documents: Literal["auto", "file", "part", "paragraph", "line"] = "file"
  part_characters: int = 20_000
  encoding: str = "utf-8"
  header: bool | None = None
  encoding_flag: str = ENCODING_FLAG

  def records(self, path: Path, *, key: str, split: str | None) -> Iterator[Item]:
    """All records of a file, in its order; a file that breaks off ends with what is wrong."""
    try:
      for item in self._items(path, key):
        yield item._replace(split=split) if isinstance(item, Document) else item
    except (NoText, Damaged) as error:
      yield Unreadable(key, str(error))
    except OSError as error:
      yield Unreadable(key, f"cannot be read ({error.strerror or error})")

  def _items(self, path: Path, key: str) -> Iterator[Item]:
    kind = self.kind(path)
    if kind != "parquet" and path.stat().st_size == 0:
      yield Unreadable(key, "empty file")
      return
    if kind == "lines":
      yield from self._txt(path, key)
      return
    for place, record in self.raw_records(path):
      if isinstance(record, Reached):
        yield record
      elif isinstance(record, str):
        yield Unreadable(f"{key}:{place}", record)
      else:
        yield self.fields.document(record, key=f"{key}:{place}")

  def kind(self, path: Path) -> str:
    """What a file is, see `kind_of`; a .txt, where nothing else was said, may have columns, too."""
    found = kind_of(path, encoding=self.encoding) or "lines"
    if found != "lines" or self.documents != "auto":
      return found
    return _columns_in(path, self.encoding) or found

  def _open(self, path: Path) -> AbstractContextManager[TextStream]:
    return open_text(path, encoding=self.encoding, flag=self.encoding_flag)

  def head(self, path: Path) -> list[dict[str, Any]]:
    """The first records of a file, with all their fields; none of what cannot be read."""
    reader = self
    try:
      if self.kind(path) == "parquet":
        reader = dataclasses.replace(self, fields=_AllFields(every=tuple(column_names(path))))
      found = itertools.islice(reader.raw_records(path), _HEAD_RECORDS)
      return [record for _, record in found if isinstance(record, dict)]
    except (NoText, Damaged, OSError):
      return []

  def raw_records(self, path: Path) -> Iterator[tuple[int, Any]]:
    """(place in the file, record or in words what is wrong with it) of a file.

    Now and then a `Reached` stands in a record's place.

    Raises:
      NoText, Damaged, OSError: for what cannot be read on.
    """
    kind = self.kind(path)
    if kind == "parquet":
      for row, record in enumerate(rows(path, self.fields.names())):
        yield row, _NO_VALUES if record is None else record
      return
    read = {
      "jsonl": _jsonl,
      "json": _json,
      "table": functools.partial(self._table, path=path),
      "columns": functools.partial(_columns, is_universal=False),
      "conllu": functools.partial(_columns, is_universal=True),
    }[kind]
    with self._open(path) as stream:
      yield from _with_progress(read(stream), stream)

  def _table(self, stream: TextStream, *, path: Path) -> Iterator[tuple[int, Any]]:
    with self._open(path) as other:
      is_tsv = _suffix_of(path) == ".tsv"
      dialect = dialect_of(other.utf8, is_tsv=is_tsv, header=self.header)
    if dialect is not None:
      yield from enumerate(table_rows(stream.utf8, dialect), 1)

  def _txt(self, path: Path, key: str) -> Iterator[Item]:
    # Looked through first: of what is no text nothing is kept.
    with self._open(path) as stream:
      for _ in stream.chunks():
        yield Reached(stream.tell() // 2)
    half = path.stat().st_size // 2
    with self._open(path) as stream:
      yield from self._cut(stream, key, reached=lambda: Reached(half + stream.tell() // 2))

  def _cut(self, stream: TextStream, key: str, *, reached: Callable[[], Reached]) -> Iterator[Item]:
    if self.documents in ("auto", "file"):
      found: Iterable[Document] = whole(stream.chunks(), key)
    else:
      cut = {
        "part": functools.partial(pieces, size=self.part_characters),
        "paragraph": functools.partial(_split, end=re.compile(r"\n[^\S\n]*\n\s*")),
        "line": functools.partial(_split, end=re.compile("\n+")),
      }[self.documents]
      # A separator that a chunk ended within leaves newlines behind.
      texts = (text.strip("\n") for text in cut(stream.chunks()))
      numbered = enumerate(text for text in texts if text.strip())
      found = (Document(f"{key}#{place}", text) for place, text in numbered)
    last, is_empty = 0, True
    for document in found:
      is_empty = False
      yield document
      now = reached()
      if now.amount - last >= _EVERY // 2:
        last = now.amount
        yield now
    if is_empty:
      yield Unreadable(key, "empty", fault=False)


@dataclasses.dataclass(frozen=True)
class _AllFields(Fields):
  """Whatever a file has."""

  every: tuple[str, ...] = ()

  def names(self) -> list[str]:
    return list(self.every)


def kind_of(path: Path, *, encoding: str) -> str | None:
  """What a file is, one of the values of `KINDS`; None for what is not read.

  Its name says so; else it is looked into for columns, as names such as CoNLL-2003's "eng.testa"
  tell of a split.

  Args:
    path: the path of the file.
    encoding: the encoding of files without a byte order mark.
  """
  suffix = _suffix_of(path)
  if suffix not in KINDS:
    return _columns_in(path, encoding)
  if suffix == ".parquet" and path.suffix.lower() in COMPRESSED:
    return None
  return KINDS[suffix]


def _columns_in(path: Path, encoding: str) -> str | None:
  """The kind of the columns that a file holds; None for none, and for what is no text."""
  try:
    with open_text(path, encoding=encoding) as stream:
      return columns_of(stream.utf8.read(_HEAD))
  except (NoText, BadFile, OSError):
    return None


def _suffix_of(path: Path) -> str:
  """The suffix of a file in small letters, that of its compression aside."""
  is_packed = path.suffix.lower() in COMPRESSED
  return (path.with_suffix("") if is_packed else path).suffix.lower()


def whole(chunks: Iterable[str], key: str) -> Iterator[Document]:
  """A document whole, or where it is long in pieces, which stay in one split."""
  found = pieces(chunks, size=PIECE)
  first, second = next(found, ""), next(found, None)
  if second is None:
    yield Document(key, first)
    return
  yield Document(f"{key}#0", first, group=key)
  yield Document(f"{key}#1", second, group=key)
  for place, text in enumerate(found, 2):
    yield Document(f"{key}#{place}", text, group=key)


def _jsonl(stream: TextStream) -> Iterator[tuple[int, Any]]:
  for number, line in enumerate(lines(stream.utf8), 1):
    if line is None or line.strip():
      yield number, parsed(line)


def _json(stream: TextStream) -> Iterator[tuple[int, Any]]:
  return enumerate(flattened(json_records(stream.utf8)), 1)


def _columns(stream: TextStream, *, is_universal: bool) -> Iterator[tuple[int, Any]]:
  for found in sentences(stream.utf8, is_universal=is_universal):
    yield found.line, found.reason if isinstance(found, Broken) else found.columns


def _with_progress(
  records: Iterator[tuple[int, Any]], stream: TextStream
) -> Iterator[tuple[int, Any]]:
  last = 0
  for record in records:
    yield record
    if stream.tell() - last >= _EVERY:
      last = stream.tell()
      yield 0, Reached(last)


def _split(chunks: Iterable[str], *, end: re.Pattern[str]) -> Iterator[str]:
  """Cuts a text that comes in chunks at every `end`; what has none for long is cut anywhere."""
  rest = ""
  for chunk in chunks:
    *done, rest = end.split(rest + chunk)
    for text in done:
      yield from pieces([text], size=PIECE)
    if len(rest) > PIECE:
      *done, rest = pieces([rest], size=PIECE)
      yield from done
  if rest:
    yield rest

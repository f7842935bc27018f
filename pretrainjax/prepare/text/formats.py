"""The documents of one file: .txt, .jsonl or .parquet, whatever its size and state."""

import codecs
import dataclasses
import functools
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pretrainjax.data.records import Damaged, lines, parsed, rows
from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.units import pieces
from pretrainjax.untrusted import open_file

_CHUNK = 1 << 20  # bytes read at once
PIECE = 1 << 20  # characters: what is longer comes in pieces, for memory's sake

Item = Document | Unreadable


@dataclasses.dataclass(frozen=True)
class Reader:
  """Reads the documents of files.

  Attributes:
    fields: the fields of .jsonl and .parquet.
    documents: what a document is in a .txt file.
    part_characters: the most in a part, for documents="part".
    encoding: the encoding of .txt files.
  """

  fields: Fields = Fields()
  documents: Literal["file", "part", "paragraph", "line"] = "file"
  part_characters: int = 20_000
  encoding: str = "utf-8"

  def records(self, path: Path, *, key: str, split: str | None) -> Iterator[Item]:
    """Yields all records of a file, in order; one that breaks off ends with what is wrong."""
    read = {".jsonl": self._jsonl, ".parquet": self._parquet}.get(path.suffix.lower(), self._txt)
    try:
      for item in read(path, key):
        yield item._replace(split=split) if isinstance(item, Document) else item
    except OSError as error:
      yield Unreadable(key, f"cannot be read ({error.strerror or error})")

  def _txt(self, path: Path, key: str) -> Iterator[Item]:
    if not self._is_text(path):
      yield Unreadable(key, f"not {self.encoding.upper()}")
      return
    if path.stat().st_size == 0:
      yield Unreadable(key, "empty file")
      return
    if self.documents == "file":
      yield from whole(self._chunks(path), key)
      return
    cut = {
      "part": functools.partial(pieces, size=self.part_characters),
      "paragraph": functools.partial(_split, end=re.compile(r"\n[^\S\n]*\n\s*")),
      "line": functools.partial(_split, end=re.compile("\n+")),
    }[self.documents]
    # A separator that a chunk ended within leaves newlines behind.
    texts = (text.strip("\n") for text in cut(self._chunks(path)))
    for place, text in enumerate(text for text in texts if text.strip()):
      yield Document(f"{key}#{place}", text)

  def _chunks(self, path: Path) -> Iterator[str]:
    # Newlines of other systems become ours, also where a chunk ends within one.
    with io.TextIOWrapper(open_file(path), encoding=self.encoding, newline=None) as file:
      while chunk := file.read(_CHUNK):
        yield chunk

  def _is_text(self, path: Path) -> bool:
    decoder = codecs.getincrementaldecoder(self.encoding)()
    with open_file(path) as file:
      try:
        while chunk := file.read(_CHUNK):
          decoder.decode(chunk)
        decoder.decode(b"", final=True)
      except UnicodeError:
        return False
    return True

  def _jsonl(self, path: Path, key: str) -> Iterator[Item]:
    with open_file(path) as file:
      for number, line in enumerate(lines(file), 1):
        if line is None or line.strip():
          place, record = f"{key}:{number}", parsed(line)
          is_fault = isinstance(record, str)
          yield Unreadable(place, record) if is_fault else self.fields.document(record, key=place)

  def _parquet(self, path: Path, key: str) -> Iterator[Item]:
    try:
      for row, record in enumerate(rows(path, self.fields.names())):
        place = f"{key}:{row}"
        is_fault = record is None
        yield (
          Unreadable(place, "not UTF-8, or a value of no kind that Python has")
          if is_fault
          else self.fields.document(record, key=place)
        )
    except Damaged as error:
      yield Unreadable(key, str(error))


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

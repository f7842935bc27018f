"""Third stage: documents to records of tokens, one file a split, to which more can be added."""

import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.data.windows import UNKNOWN
from pretrainjax.prepare.stages.journal import Journal
from pretrainjax.prepare.text.collector import documents_file
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.form import NOT_SCORED, Form, Layout
from pretrainjax.prepare.text.units import units
from pretrainjax.prepare.text.windows import Windows

_AT_ONCE = 1 << 20  # characters
_EVERY = 16  # batches between commits
_SIZE = struct.Struct("<I")

Counts = dict[str, int]


def stage(split: str) -> str:
  """The name under which the journal keeps what was done of a split."""
  return f"encode {split}"


def records_file(folder: Path, split: str) -> Path:
  """The file of the records of a split: of each 4 bytes of length, and as many bytes."""
  return folder / f"records-{split}.bin"


def encode(
  split: str,
  *,
  form: Form,
  layout: Layout,
  tokenizer: Tokenizer,
  journal: Journal,
  documents: Path,
  folder: Path,
) -> Counts:
  """Writes the records of one split, or goes on where the journal says.

  Args:
    split: the split of which the documents were collected.
    form: the form of the records.
    layout: the features of the records.
    tokenizer: the tokenizer of the dataset.
    journal: the journal of this run.
    documents: the folder of the documents.
    folder: the folder of the records.

  Returns:
    How many examples there are, tokens (without special ones), those of them that are unknown,
    documents with any, bytes of their text, empty documents, and questions whose answers have no
    place in their context.
  """
  names = ("examples", "documents", "tokens", "unknown", "bytes", "empty", "unplaced", "size")
  empty = dict.fromkeys(names, 0)
  start = {"offset": 0, "counts": empty, "packer": None, "done": False}
  state = journal.get(stage(split), start)
  if state["done"]:
    return state["counts"]
  source, target = documents_file(documents, split), records_file(folder, split)
  target.touch()
  os.truncate(target, state["counts"]["size"])  # what was written after the last commit comes again
  writer = _Writer(form, layout, tokenizer, state["counts"])
  if state["packer"] is not None:
    writer.packer.restore(state["packer"])

  def commit(offset: int, *, done: bool = False) -> None:
    output.flush()
    os.fsync(output.fileno())
    packer = None if done else writer.packer.state()
    state = {"offset": offset, "counts": writer.counts, "packer": packer, "done": done}
    journal.put(stage(split), state)
    journal.commit()

  total = source.stat().st_size
  with (
    open(source, "rb") as lines,
    open(target, "ab") as output,
    tqdm(
      total=total, initial=state["offset"], desc=f"encode {split}", unit="B", unit_scale=True
    ) as bar,
  ):
    lines.seek(state["offset"])
    for number, batch in enumerate(_batches(lines), 1):
      for record in writer.records(batch):
        _append(output, record)
      bar.update(lines.tell() - bar.n)
      if number % _EVERY == 0:
        commit(lines.tell())
    for record in writer.last_records():
      _append(output, record)
    commit(total, done=True)
  return writer.counts


def _append(file: BinaryIO, record: bytes) -> None:
  file.write(_SIZE.pack(len(record)))
  file.write(record)


def read_records(path: Path, *, offset: int = 0) -> Iterator[bytes]:
  """Yields the records of a file, from a place where one begins."""
  with open(path, "rb") as file:
    file.seek(offset)
    while size := file.read(_SIZE.size):
      yield file.read(_SIZE.unpack(size)[0])


def _batches(lines: BinaryIO) -> Iterator[list[Document]]:
  """Documents, as many at once as make some text; of the file nothing is read ahead."""
  documents, size = [], 0
  while line := lines.readline():
    documents.append(Document.from_json(line.decode()))
    size += len(line)
    if size >= _AT_ONCE:
      yield documents
      documents, size = [], 0
  if documents:
    yield documents


class _Writer:
  """Makes records of documents, and counts what is in them."""

  def __init__(self, form: Form, layout: Layout, tokenizer: Tokenizer, counts: Counts):
    self._form, self._layout, self._tokenizer = form, layout, tokenizer
    self.counts = dict(counts)
    self.packer = form.packer(tokenizer)
    self._windows = Windows(form, tokenizer)
    self._labels = {name: number for number, name in enumerate(layout.class_names)}
    self._tag_numbers = {name: number for number, name in enumerate(layout.tag_names)}

  def records(self, documents: list[Document]) -> Iterator[bytes]:
    """The records that are ready."""
    cut = [units(document.text, unit=self._form.unit) for document in documents]
    ids = iter(self._encoded([text for texts in cut for text in texts]))
    for document, texts in zip(documents, cut, strict=True):
      parts = [part for part in itertools.islice(ids, len(texts)) if len(part)]
      tokens = sum(map(len, parts))
      self._count(document, tokens)
      self._count_unknown(parts)
      if tokens:
        make = self._blocks if self._layout.blocks else self._examples
        make = self._questions if self._layout.windows else make
        yield from map(self._counted, make(document, parts))

  def last_records(self) -> Iterator[bytes]:
    """The records that are left when all documents were seen."""
    return map(self._counted, self._packed(self.packer.finish()))

  def _encoded(self, texts: list[str]) -> list[np.ndarray]:
    return [np.asarray(ids, np.int32) for ids in self._tokenizer.encode_batch(texts)]

  def _blocks(self, document: Document, parts: list[np.ndarray]) -> Iterator[bytes]:
    for part in parts:
      yield from self._packed(self.packer.add(part))

  def _packed(self, blocks: list) -> Iterator[bytes]:
    return (self._layout.record(tokens=b.tokens, segments=b.segments) for b in blocks)

  def _examples(self, document: Document, parts: list[np.ndarray]) -> Iterator[bytes]:
    shared: dict[str, Any] = {}
    if self._layout.second:
      shared["second"] = self._tokenizer.encode(document.second or "")
      self.counts["tokens"] += len(shared["second"])
      self._count_unknown([np.asarray(shared["second"], np.int32)])
    if self._layout.class_names:
      shared["label"] = self._labels[document.label]
    if self._layout.score:
      shared["score"] = document.score
    if self._layout.tag_names:
      parts = [self._tokenizer.encode(document.text)]
      shared["tags"] = self._tags(document)
    for place, part in enumerate(parts):
      key = document.key if len(parts) == 1 else f"{document.key}#{place}"
      yield self._layout.record(tokens=part, key=key, **shared)

  def _questions(self, document: Document, parts: list[np.ndarray]) -> Iterator[bytes]:
    context = self._windows.context(document.second or "")
    self.counts["tokens"] += len(context.ids)
    self.counts["unplaced"] += self._windows.span(document)[0] == UNKNOWN
    self._count_unknown([context.ids])
    return (self._layout.record(**r) for r in self._windows.records(document, parts[0]))

  def _tags(self, document: Document) -> list[int]:
    """The tag of a word for its first token, NOT_SCORED for its others."""
    words, tags = document.words or (), document.tags or ()
    ends = np.cumsum([len(word) + 1 for word in words]) - 1  # where a word ends in the text
    _, offsets = self._tokenizer.encode_offsets(document.text)
    token_ends = np.array([end for _, end in offsets])
    # The word that a token's last letter is in; a space belongs to the word behind it.
    places = np.searchsorted(ends, token_ends - 1, side="right")
    first = np.diff(places, prepend=-1) > 0
    return [
      self._tag_numbers[tags[place]] if begins else NOT_SCORED
      for place, begins in zip(places, first, strict=True)
    ]

  def _count(self, document: Document, tokens: int) -> None:
    if not tokens:
      self.counts["empty"] += 1
      return
    self.counts["documents"] += 1
    self.counts["tokens"] += tokens
    second = (document.second or "") if self._layout.second else ""
    self.counts["bytes"] += len(document.text.encode()) + len(second.encode())

  def _count_unknown(self, parts: list[np.ndarray]) -> None:
    unknown = self._tokenizer.unknown_id
    self.counts["unknown"] += sum(int(np.count_nonzero(part == unknown)) for part in parts)

  def _counted(self, record: bytes) -> bytes:
    self.counts["examples"] += 1
    self.counts["size"] += _SIZE.size + len(record)
    return record

"""First stage: from a source to cleaned documents without duplicates, one JSON line each."""

import dataclasses
import os
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from pretrainjax.errors import UserError
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.stages.journal import Journal
from pretrainjax.prepare.stages.tally import Tally
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.document import Corpus, Document, Part, Unreadable
from pretrainjax.prepare.text.duplicates import Duplicates, Seen

STAGE = "collect"
_EVERY = 2000  # records between commits
_MAX_CLASSES = 65_000
_SEEN = {"exact": "duplicate", "near": "near duplicate"}


@dataclasses.dataclass(frozen=True)
class Rules:
  """What decides which documents are kept, in what form and where."""

  cleaning: Cleaning
  duplicates: Duplicates
  holdout: Holdout


def documents_file(folder: Path, split: str) -> Path:
  """Where the documents of a split are."""
  return folder / f"documents-{split}.jsonl"


def collect(corpus: Corpus, *, rules: Rules, journal: Journal, folder: Path) -> Tally:
  """Writes the documents, or goes on where the journal says.

  Args:
    corpus: opened.
    rules: see there.
    journal: of this run.
    folder: for the files.

  Returns:
    What was counted.
  """
  state = journal.get(STAGE, {"part": 0, "record": 0, "sizes": {}, "done": False})
  tally = Tally(**state.pop("tally", {}))
  if state["done"]:
    return tally
  with _Collector(rules, journal, folder, tally, state) as collector:
    number = -1
    with tqdm(total=corpus.size, desc="read", unit="B", unit_scale=True, mininterval=0.5) as bar:
      for number, part in enumerate(corpus.parts()):
        if number >= state["part"]:
          collector.take(part, number)
        bar.update(part.size)
    collector.commit(number + 1, 0, done=True)
  return tally


class _Collector:
  """Cleans and writes records, and notes after every so many what was done."""

  def __init__(self, rules: Rules, journal: Journal, folder: Path, tally: Tally, state: dict):
    self._rules, self._journal, self._folder, self._tally = rules, journal, folder, tally
    self._state, self._since = state, 0
    self._seen = Seen(rules.duplicates, journal.database)
    self._files: dict[str, BinaryIO] = {}

  def __enter__(self) -> "_Collector":
    for path in self._folder.glob(documents_file(self._folder, "*").name):
      split = path.stem.removeprefix("documents-")
      size = self._state["sizes"].get(split, 0)
      os.truncate(path, size)  # what was written after the last commit will come again
    return self

  def __exit__(self, *_) -> None:
    for file in self._files.values():
      file.close()

  def take(self, part: Part, number: int) -> None:
    """All records of a part that were not taken yet."""
    done = self._state["record"] if number == self._state["part"] else 0
    for place, record in enumerate(part.records()):
      if place < done:
        continue
      self._record(record)
      self._since += 1
      if self._since >= _EVERY:
        self.commit(number, place + 1)

  def _record(self, record: Document | Unreadable) -> None:
    if isinstance(record, Unreadable):
      self._tally.faults += record.fault
      self._tally.drop(record.key, record.reason)
      return
    document = cleaned(record, self._rules.cleaning)
    reason = self._why_not(document)
    if reason:
      self._tally.drop(document.key, reason)
      return
    split = document.split or self._rules.holdout.split_of(document.group or document.text)
    if split not in self._files:
      self._files[split] = open(documents_file(self._folder, split), "ab")
    self._files[split].write(document.to_json().encode() + b"\n")
    self._tally.keep(document, split)
    if max(len(self._tally.labels), len(self._tally.tags)) > _MAX_CLASSES:
      raise UserError(f"{document.key}: more than {_MAX_CLASSES} classes, expected names of a few")

  def _why_not(self, document: Document) -> str | None:
    if document.second == "":
      return "second text is empty"
    reason = self._rules.cleaning.why_not(document.text)
    return reason or _SEEN.get(self._seen.add(document.text, document.second) or "")

  def commit(self, part: int, record: int, *, done: bool = False) -> None:
    """Everything so far is kept, whatever happens to the process."""
    for split, file in self._files.items():
      file.flush()
      os.fsync(file.fileno())
      self._state["sizes"][split] = file.tell()
    state = self._state | {"part": part, "record": record, "done": done}
    self._journal.put(STAGE, state | {"tally": dataclasses.asdict(self._tally)})
    self._journal.commit()
    self._since = 0


def cleaned(document: Document, cleaning: Cleaning) -> Document:
  """The document with every text of it cleaned; words that vanish take their tags with them."""
  second = None if document.second is None else cleaning.clean(document.second)
  if document.words is None:
    return document._replace(text=cleaning.clean(document.text), second=second)
  words = ("".join(cleaning.clean(word).split()) for word in document.words)
  pairs = [(word, tag) for word, tag in zip(words, document.tags or (), strict=True) if word]
  return document._replace(
    text=" ".join(word for word, _ in pairs),
    words=tuple(word for word, _ in pairs),
    tags=tuple(tag for _, tag in pairs),
    second=second,
  )

"""First stage: from a source to the examples that are kept, and counts of those that are not."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pretrainjax.prepare.contract import (
  Collector,
  Corpus,
  Opened,
  Part,
  Preparation,
  Reached,
  Unreadable,
)
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.journal import Journal

STAGE = "collect"
_EVERY = 2000  # records between commits


def collect(preparation: Preparation, corpus: Corpus, *, journal: Journal, folder: Path) -> Opened:
  """Keeps the examples, or goes on where the journal says.

  Args:
    preparation: the preparation of the examples.
    corpus: the raw data, opened for reading.
    journal: the journal of this run.
    folder: the folder for the collected files.

  Returns:
    The job, with what was counted.
  """
  state = journal.get(STAGE, {"part": 0, "record": 0, "sizes": {}, "done": False, "tally": {}})
  opened = Opened(corpus, folder, journal, preparation.tally(state["tally"]))
  if state["done"]:
    return opened
  with contextlib.closing(Appended(folder, state["sizes"])) as files:
    progress = _Progress(opened, preparation.collector(opened, files), files)
    number = -1
    with tqdm(total=corpus.size, desc="read", unit=corpus.unit, unit_scale=True) as bar:
      for number, part in enumerate(corpus.parts()):
        end = bar.n + part.size
        if number >= state["part"]:
          done = state["record"] if number == state["part"] else 0
          progress.take(part, number, done=done, bar=bar)
        bar.update(end - bar.n)
    progress.commit(number + 1, 0, done=True)
  return opened


class _Progress:
  """Takes records, and notes after every so many what was done."""

  def __init__(self, opened: Opened, collector: Collector, files: Appended):
    self._opened, self._collector, self._files = opened, collector, files
    self._since = 0

  def take(self, part: Part, number: int, *, done: int, bar: tqdm) -> None:
    """All records of a part but the first so many."""
    records = itertools.islice(_noted(part, bar), done, None)
    for place, record in enumerate(records, start=done):
      self._record(record)
      self._since += getattr(record, "num_records", 1)
      if self._since >= _EVERY:
        self.commit(number, place + 1)

  def _record(self, record: Any) -> None:
    tally = self._opened.tally
    if isinstance(record, Unreadable):
      tally.pass_over(record.reason, fault=record.fault, count=record.num_records)
      tally.drop(record.key, record.reason, count=record.num_records)
      self._collector.drop(record.key, record.reason)
    elif (reason := self._collector.take(record)) is not None:
      tally.drop(record.key, reason)
      self._collector.drop(record.key, reason)

  def commit(self, part: int, record: int, *, done: bool = False) -> None:
    """Writes everything so far to the disk, to be kept whatever happens to the process."""
    state = {"part": part, "record": record, "done": done, "sizes": self._files.sync()}
    tally = dataclasses.asdict(self._opened.tally)
    self._opened.journal.put(STAGE, state | {"tally": tally})
    self._opened.journal.commit()
    self._since = 0


def _noted(part: Part, bar: tqdm) -> Iterator[Any]:
  """The records of a part, while the bar follows."""
  start = bar.n
  for record in part.records():
    if isinstance(record, Reached):
      bar.update(start + min(record.amount, part.size) - bar.n)
    else:
      yield record

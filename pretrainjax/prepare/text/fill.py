"""Between the stages: a split that is wanted and that no document fell into gets some after all."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Opened
from pretrainjax.prepare.stages.holdout import Holdout, stable_fraction
from pretrainjax.prepare.text.collector import documents_file, lacks_validation
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.text_tally import TextTally

_STAGE = "fill"
_FOLDER = "filled"


def filled(opened: Opened, holdout: Holdout, *, is_blocks: bool) -> Path:
  """The folder of the splits' documents, of which none that is wanted is empty.

  Of few documents the hash may put none into a split. Then documents are ranked by it, and the
  first so many are held out: one at least of each split, and as few as before of many.

  Args:
    opened: the job; its tally is changed.
    holdout: what is held out.
    is_blocks: whether the documents are a corpus.

  Raises:
    UserError: for fewer documents than splits.
  """
  tally = opened.tally
  assert isinstance(tally, TextTally)
  wanted = holdout.splits if not opened.corpus.splits and "split" not in tally.has else []
  if lacks_validation(opened.corpus) and is_blocks and holdout.validation_fraction:
    wanted = ["train", "validation"]
  missing = [split for split in wanted if split not in tally.kept]
  if not missing:
    return opened.folder
  folder = opened.folder / _FOLDER
  state = opened.journal.get(_STAGE)
  if state is None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    state = _fill(opened, holdout, wanted, missing[0], folder)
    opened.journal.put(_STAGE, state)
    opened.journal.commit()
  tally.kept, tally.bytes = state["kept"], state["bytes"]
  return folder


def _fill(
  opened: Opened, holdout: Holdout, wanted: list[str], missing: str, folder: Path
) -> dict[str, dict[str, int]]:
  """Writes all documents anew; returns how many each split has, and their bytes."""
  tally = opened.tally
  free = [split for split in tally.kept if split in wanted]
  found = (_place(d, holdout) for split in free for d in _documents(opened.folder, split))
  places = np.unique(np.fromiter(found, np.float64))
  if len(places) < len(wanted):
    raise UserError(_too_few(opened, missing))
  cuts = _cuts(places, holdout, wanted)
  counts = TextTally()
  files = {}
  try:
    for split in tally.kept:
      for document in _documents(opened.folder, split):
        place = _place(document, holdout)
        target = next(name for name, end in cuts if place < end) if split in free else split
        if target not in files:
          files[target] = open(documents_file(folder, target), "w", encoding="utf-8")
        files[target].write(document.to_json() + "\n")
        counts.keep_document(document, target)
  finally:
    for file in files.values():
      file.flush()
      os.fsync(file.fileno())
      file.close()
  return {"kept": counts.kept, "bytes": counts.bytes}


def _cuts(places: np.ndarray, holdout: Holdout, wanted: list[str]) -> list[tuple[str, float]]:
  """Splits and where they end, in order of the places in [0, 1)."""
  fractions = {"test": holdout.test_fraction, "validation": holdout.validation_fraction}
  counts = {s: max(round(f * len(places)), 1) for s, f in fractions.items() if s in wanted}
  while sum(counts.values()) >= len(places):  # of very few, training has one at least
    counts[max(counts, key=lambda split: counts[split])] -= 1
  ends = np.cumsum(list(counts.values()))
  cuts = [(split, float(places[end])) for split, end in zip(counts, ends, strict=True)]
  return [*cuts, ("train", 1.0)]


def _place(document: Document, holdout: Holdout) -> float:
  return stable_fraction(document.split_key, seed=holdout.seed)


def _documents(folder: Path, split: str) -> Iterator[Document]:
  with open(documents_file(folder, split), encoding="utf-8") as lines:
    yield from map(Document.from_json, lines)


def _too_few(opened: Opened, missing: str) -> str:
  tally = opened.tally
  dropped = ", ".join(f"{count:,} {reason}" for reason, count in tally.dropped.items())
  return (
    f"{opened.corpus.origin}: of {tally.num_kept:,} documents none falls into '{missing}'"
    f"{f' (left out before: {dropped})' if dropped else ''}; cut them by "
    "--config.source.documents=part, or hold nothing out by --config.holdout.test_fraction=0 and "
    "--config.holdout.validation_fraction=0"
  )

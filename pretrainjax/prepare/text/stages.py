"""From a source of texts to a finished dataset, stage by stage; what was done is not done again."""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare.stages.journal import Journal, open_journal
from pretrainjax.prepare.stages.shards import (
  VERSION,
  shard_lengths,
  write_metadata,
  write_shards,
)
from pretrainjax.prepare.stages.tally import Tally, names_in_order
from pretrainjax.prepare.stages.write import REPORT, is_complete, sole_writer
from pretrainjax.prepare.text.collect import Rules, collect, documents_file
from pretrainjax.prepare.text.document import Corpus, Document, TextSource
from pretrainjax.prepare.text.encode import Counts, encode
from pretrainjax.prepare.text.form import Form, Layout
from pretrainjax.prepare.text.training import Tokenization, existing, make_tokenizer

TOKENIZER = "tokenizer.json"
_WORK = "incomplete_text"
_SHOWN = 3
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Job:
  """Everything that decides what is written.

  Attributes:
    source: of the texts.
    rules: which documents are kept, in what form and where.
    tokenization: see `Tokenization`.
    form: of the records.
    num_shards: files of each split; None takes as many as make files of 256 MiB.
    max_dropped: the largest fraction of records that may be no documents.
  """

  source: TextSource
  rules: Rules
  tokenization: Tokenization
  form: Form
  num_shards: int | None = None
  max_dropped: float = 0.01

  def settings(self) -> dict[str, Any]:
    """Plain data that says what is done to the texts of the source.

    Raises:
      UserError: for a tokenizer that is not there.
    """
    options = dataclasses.asdict(self.tokenization)
    path = options.pop("path")
    if path is not None:  # where it lies and how it was made do not matter
      options = {"fingerprint": existing(Path(path)).fingerprint}
    parts = {
      "tokenizer": {"trained": path is None} | options,
      "form": dataclasses.asdict(self.form),
    }
    for field in dataclasses.fields(self.rules):
      parts[field.name] = dataclasses.asdict(getattr(self.rules, field.name))
    return json.loads(json.dumps(parts))  # tuples become lists, as in what is read back


def write_dataset(job: Job, *, data_dir: Path, source_facts: dict[str, Any]) -> Path:
  """Writes the dataset, or goes on where a run of the same job was stopped.

  Args:
    job: see there.
    data_dir: where datasets lie.
    source_facts: what decides what the source reads, for the report.

  Returns:
    The dataset's folder: it appears when all is done.

  Raises:
    UserError: where there is nothing to read, too much that cannot be read, or no place to write.
  """
  folder = data_dir / job.source.name / VERSION
  try:
    with sole_writer(folder.parent):
      if is_complete(folder):  # another process was faster
        return folder
      with job.source.open(data_dir) as corpus:
        settings = job.settings()
        facts = [source_facts, settings, job.num_shards, corpus.identity]
        work = _work_folder(folder.parent, facts)
        with open_journal(work) as journal:
          journal.put("facts", facts)
          journal.commit()
          report = {"source": source_facts, "settings": settings, "origin": corpus.origin}
          report |= _stages(job, corpus, journal, work)
      (work / VERSION / REPORT).write_text(json.dumps(report, indent=2))
      os.rename(work / VERSION, folder)
      shutil.rmtree(work)
  except OSError as error:
    reason = error.strerror or " ".join(str(error).split())
    raise UserError(f"--data_dir: cannot write '{folder}' ({reason})") from error
  return folder


def _work_folder(parent: Path, facts: list) -> Path:
  """Where a run leaves what is not done; emptied if it is another job's."""
  work = parent / _WORK
  if work.is_dir():
    with open_journal(work) as journal:
      known = journal.get("facts")
    if known == json.loads(json.dumps(facts)):
      _log.warning("%s: going on with what was begun", work)
      return work
    _log.warning("%s: begun with other settings or other files; beginning anew", work)
    shutil.rmtree(work)
  work.mkdir()
  return work


def _stages(job: Job, corpus: Corpus, journal: Journal, work: Path) -> dict[str, Any]:
  """Does what is left to do; returns the report's other half."""
  tally = collect(corpus, rules=job.rules, journal=journal, folder=work)
  _check(tally, job, corpus)
  tokenizer = _tokenizer(job, tally, work)
  layout = _layout(job, tally, corpus, tokenizer)
  counts: dict[str, Counts] = {}
  for split in sorted(tally.documents, key=lambda split: (split != "train", split)):
    found = encode(
      split, form=job.form, layout=layout, tokenizer=tokenizer, journal=journal, folder=work
    )
    if found["examples"]:
      counts[split] = found
  if not counts:
    raise UserError(f"{corpus.origin}: no document has a token")
  target = work / VERSION
  target.mkdir(exist_ok=True)
  lengths = {split: shard_lengths(c, num_shards=job.num_shards) for split, c in counts.items()}
  for split in counts:
    write_shards(
      split,
      name=job.source.name,
      lengths=lengths[split],
      journal=journal,
      folder=work,
      target=target,
    )
  write_metadata(layout, name=job.source.name, counts=counts, lengths=lengths, target=target)
  (target / TOKENIZER).write_text(tokenizer.text, encoding="utf-8")
  return _report(job, tally, tokenizer, layout, counts)


def _check(tally: Tally, job: Job, corpus: Corpus) -> None:
  kept, dropped = sum(tally.documents.values()), sum(tally.dropped.values())
  shown = "; ".join(
    f"{count:,} {reason} ({', '.join(tally.dropped_keys[reason][:_SHOWN])})"
    for reason, count in tally.dropped.items()
  )
  total = kept + dropped
  if not kept:
    raise UserError(f"{corpus.origin}: holds no document; dropped {shown or 'nothing'}")
  if tally.faults > job.max_dropped * total:
    raise UserError(
      f"{corpus.origin}: {tally.faults:,} of {total:,} records cannot be read, expected at most "
      f"{job.max_dropped:.1%} (--config.max_dropped); dropped {shown}"
    )
  missing = [split for split in job.rules.holdout.splits if split not in tally.documents]
  if missing and "split" not in tally.has:
    raise UserError(
      f"{corpus.origin}: of {kept:,} documents none falls into '{missing[0]}'; cut them by "
      "--config.source.documents=part, or change --config.holdout.test_fraction or .seed"
    )


def _tokenizer(job: Job, tally: Tally, work: Path) -> Tokenizer:
  path = work / TOKENIZER
  if path.is_file():
    return Tokenizer.load(path)
  split = "train" if "train" in tally.documents else next(iter(tally.documents))

  def texts() -> Iterator[str]:
    with open(documents_file(work, split), encoding="utf-8") as lines:
      for line in lines:
        document = Document.from_json(line)
        yield document.text
        if document.second is not None:
          yield document.second

  made = make_tokenizer(job.tokenization, texts, size=tally.bytes[split])
  partial = path.with_suffix(".partial")
  partial.write_text(made.text, encoding="utf-8")
  os.replace(partial, path)
  return Tokenizer.load(path)


def _layout(job: Job, tally: Tally, corpus: Corpus, tokenizer: Tokenizer) -> Layout:
  dtype = np.uint16 if tokenizer.vocab_size < 65_536 else np.int32
  if job.form.kind == "blocks":
    return Layout(dtype, blocks=True)
  if job.form.unit != "document" and ("second" in tally.has or "words" in tally.has):
    what = "pairs" if "second" in tally.has else "tagged words"
    raise UserError(f"--config.form.unit: {what} cannot be cut, expected unit=document")
  labelled = "label" in tally.has
  return Layout(
    dtype,
    blocks=False,
    second="second" in tally.has,
    class_names=(corpus.class_names or tuple(names_in_order(tally.labels))) if labelled else (),
    score="score" in tally.has,
    tag_names=tuple(names_in_order(tally.tags)),
  )


def _report(
  job: Job, tally: Tally, tokenizer: Tokenizer, layout: Layout, counts: dict[str, Counts]
) -> dict[str, Any]:
  shown = ("examples", "documents", "tokens", "bytes")
  empty = sum(found["empty"] for found in counts.values())
  return {
    "form": job.form.kind,
    "length": job.form.length if layout.blocks else None,
    "vocab_size": tokenizer.vocab_size,
    "tokenizer": tokenizer.fingerprint,
    "class_names": list(layout.class_names),
    "tag_names": list(layout.tag_names),
    "splits": {split: {name: c[name] for name in shown} for split, c in counts.items()},
    "labels": tally.labels,
    "dropped": tally.dropped | ({"no token": empty} if empty else {}),
    "dropped_keys": tally.dropped_keys,
  }

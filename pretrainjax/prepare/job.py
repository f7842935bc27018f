"""The job that makes a dataset, stage by stage; what was done is not done again.

Read, clean, deduplicate and split (`stages/collect`), encode (the preparation's own), write
(`stages/shards`), report. Memory does not grow with the number of examples.
"""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretrainjax.data.prepared_facts import note
from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Corpus, Encoded, Preparation, Source
from pretrainjax.prepare.stages.collect import collect
from pretrainjax.prepare.stages.journal import Journal, open_journal
from pretrainjax.prepare.stages.place import REPORT, folder_of, is_complete, sole_writer
from pretrainjax.prepare.stages.shards import VERSION, shard_lengths, write_metadata, write_shards
from pretrainjax.prepare.stages.tally import Tally

_WORK = "incomplete"
_FORM = 2  # of what lies in it; what has another form is begun anew
_SHOWN = 3
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Job:
  """All settings that decide what is written.

  Attributes:
    source: the source of the examples.
    preparation: what is done to them.
    num_shards: files of each split; None takes as many as make files of 256 MiB.
    max_dropped: the largest fraction of what is read that may be no examples.
  """

  source: Source
  preparation: Preparation
  num_shards: int | None = None
  max_dropped: float = 0.01


def write_dataset(job: Job, *, data_dir: Path, source_facts: dict[str, Any]) -> Path:
  """Writes the dataset, or goes on where a run of the same job was stopped.

  Args:
    job: what to read, and how to prepare it.
    data_dir: the folder in which prepared datasets lie.
    source_facts: what decides what the source reads, for the report.

  Returns:
    The dataset's folder: it appears when all is done.

  Raises:
    UserError: where there is nothing to read, too much that cannot be read, or no place to write.
  """
  folder = folder_of(job.source.name, data_dir)
  try:
    with sole_writer(folder.parent):
      if is_complete(folder):  # another process was faster
        clear(folder)
        return folder
      with job.source.open(data_dir) as corpus:
        settings = job.preparation.settings()
        facts = [_FORM, source_facts, settings, job.num_shards, corpus.identity]
        work = _work_folder(folder.parent, facts)
        with open_journal(work) as journal:
          journal.put("facts", facts)
          journal.commit()
          report = {"source": source_facts, "settings": settings, "origin": corpus.origin}
          report |= {"notes": list(corpus.notes)} if corpus.notes else {}
          report |= _stages(job, corpus, journal, work)
      noted = work / VERSION / REPORT
      noted.write_text(json.dumps(report, indent=2))
      # Images are measured as training reads them, by what is noted.
      noted.write_text(json.dumps(report | note(work / VERSION), indent=2))
      os.rename(work / VERSION, folder)
      clear(folder)
  except OSError as error:
    reason = error.strerror or " ".join(str(error).split())
    raise UserError(f"--data_dir: cannot write '{folder}' ({reason})") from error
  return folder


def clear(folder: Path) -> None:
  """Removes what was needed to make a dataset that is complete."""
  shutil.rmtree(folder.parent / _WORK, ignore_errors=True)


def _work_folder(parent: Path, facts: list) -> Path:
  """Where a run leaves what is not done; emptied if it is another job's."""
  for left_over in parent.glob(f"{_WORK}[._]*"):  # of an earlier version
    shutil.rmtree(left_over)
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
  opened = collect(job.preparation, corpus, journal=journal, folder=work)
  _check(opened.tally, job, corpus)
  encoded = job.preparation.encode(opened)
  encoded = dataclasses.replace(encoded, info={**encoded.info, **corpus.info})
  digests = _write(encoded, job, journal, work / VERSION)
  return {**encoded.report, **corpus.report, "record_digests": digests}


def _check(tally: Tally, job: Job, corpus: Corpus) -> None:
  def shown(counts: Mapping[str, int]) -> str:
    return "; ".join(
      f"{count:,} {reason} ({', '.join(tally.dropped_keys[reason][:_SHOWN])})"
      for reason, count in counts.items()
    )

  unreadable = job.preparation.unreadable
  if not tally.num_kept:
    dropped = shown(tally.dropped) or "nothing"
    raise UserError(f"{corpus.origin}: holds no {job.preparation.noun}; dropped {dropped}")
  if tally.faults > job.max_dropped * tally.num_read:
    raise UserError(
      f"{corpus.origin}: {tally.faults:,} of {tally.num_read:,} {unreadable}, expected at most "
      f"{job.max_dropped:.1%} (--config.max_dropped): {shown(tally.fault_reasons)}"
    )


def _write(
  encoded: Encoded, job: Job, journal: Journal, target: Path
) -> dict[str, str | None] | None:
  """Writes all files; returns a digest of each split's records, None where one is not known."""
  target.mkdir(exist_ok=True)
  lengths = {
    split: shard_lengths(size, num_shards=job.num_shards) for split, size in encoded.splits.items()
  }
  written = {
    split: write_shards(
      split,
      encoded,
      name=job.source.name,
      lengths=lengths[split],
      journal=journal,
      target=target,
    )
    for split in encoded.splits
  }
  sizes = {split: size for split, (size, _) in written.items()}
  write_metadata(encoded, name=job.source.name, sizes=sizes, lengths=lengths, target=target)
  for name, chunks in encoded.texts.items():
    with open(target / name, "w", encoding="utf-8") as file:
      file.writelines(chunks)
  digests = {split: digest for split, (_, digest) in written.items()}
  return None if None in digests.values() else digests

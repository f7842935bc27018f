"""What prepared.json says of sounds, and what of it a person is told."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pretrainjax.data.sound import RATE
from pretrainjax.prepare.audio.table import AudioTable
from pretrainjax.prepare.contract import Corpus
from pretrainjax.prepare.stages.example_table import HeldOut

_SHOWN = 5
_LISTED = 1000  # in prepared.json; the whole lists are in files of their own


def facts(table: AudioTable, corpus: Corpus, *, held_out: HeldOut) -> dict[str, Any]:
  """Facts for prepared.json.

  Args:
    table: of all sounds.
    corpus: where they come from.
    held_out: of what a share was held out.
  """
  count, first = table.groups_in_two_splits()
  remarks = {
    what: {"sounds": number, "first": table.remarked_first(what, _SHOWN)}
    for what, number, _ in table.remarks()
  }
  found = {
    "written": {split: number for split, (number, _) in table.sizes().items()},
    "seconds": {split: round(seconds, 3) for split, seconds in table.seconds().items()},
    "longest_seconds": table.longest(),
    "sampling_rate": RATE,
    "dropped": table.dropped_by_reason(),
    "dropped_files": [list(row) for row in itertools.islice(table.dropped(), _LISTED)],
    "num_duplicates_between_splits": table.num_duplicates(),
    "duplicates_between_splits": [list(t) for t in itertools.islice(table.duplicates(), _LISTED)],
    "duplicates_are_equal_in": "samples",
    "num_groups_in_two_splits": count,
    "groups_in_two_splits": first,
  }
  if corpus.holdout is not None and held_out != "own splits":
    found["held_out"] = {"fraction": corpus.holdout.fraction, "share_of": held_out}
  if transcribers := dict(itertools.islice(table.transcribers().items(), _LISTED)):
    found["transcribers"] = transcribers
  return found | ({"remarks": remarks} if remarks else {})


def lists(table: AudioTable) -> dict[str, Iterator[str]]:
  """The whole of what prepared.json has the first of, one JSON list a line."""
  found = {}
  if table.num_dropped():
    found["dropped.jsonl"] = table.dropped()
  if table.num_duplicates():
    found["duplicates.jsonl"] = table.duplicates()
  if any(table.remarks()):
    found["remarks.jsonl"] = table.remarked()
  return {name: (json.dumps(list(row)) + "\n" for row in rows) for name, rows in found.items()}


def lines(report: Mapping[str, Any]) -> Iterator[str]:
  """The facts of a report as lines."""
  for split, count in report["written"].items():
    yield f"{split:<14} {count:,} sounds, {report['seconds'][split] / 60:,.1f} minutes"
  yield f"longest        {report['longest_seconds']:.1f} s; {report['classes']} classes"
  if "transcript_length" in report:
    share = report["unknown_tokens"] / max(report["tokens"], 1)
    unknown = f", {share:.2%} of which are unknown" if share else ""
    yield (
      f"transcripts    {report['tokens']:,} tokens{unknown}, at most {report['transcript_length']} "
      f"each, of {report['vocab_size']:,}; rule '{report['transcript_rule']}'"
    )
  for name, count in itertools.islice(report.get("transcribers", {}).items(), _SHOWN):
    yield f"written by     {name} ({count:,} transcripts)"
  if "held_out" in report:
    yield _of_holdout(report["held_out"], has_classes=report["classes"] > 0)
  if count := report["num_groups_in_two_splits"]:
    shown = ", ".join(report["groups_in_two_splits"])
    yield f"on both sides  {count:,} speakers or other groups are in two splits: {shown}"
  for what, remark in report.get("remarks", {}).items():
    yield f"remarked       {remark['sounds']:,} {what}: {', '.join(remark['first'])}"


def _of_holdout(held_out: Mapping[str, Any], *, has_classes: bool) -> str:
  share = f"--config.source.test_fraction={held_out['fraction']:g}"
  of = {
    "groups": "in whole groups, such as speakers or pieces of one file",
    "each class": "of each class" if has_classes else "of all sounds",
    "all images": "of all sounds",
    "nothing": "is nothing: there are too few to hold one out",
  }[held_out["share_of"]]
  return f"held out       {share} {of}"

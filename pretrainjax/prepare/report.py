"""The report of a prepared dataset for a person: what is in it, and what was left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretrainjax.data.interactions import KIND
from pretrainjax.prepare.audio import told as sounds_told
from pretrainjax.prepare.image import told
from pretrainjax.prepare.items import told as events_told
from pretrainjax.prepare.stages.place import REPORT

_SHOWN = 5


def lines(report: dict[str, Any], folder: Path) -> Iterator[str]:
  """The report of a prepared dataset, as lines for a person.

  Args:
    report: the facts of prepared.json.
    folder: the folder of the dataset.
  """
  yield f"from           {report['origin']}"
  for note in report.get("notes", ()):
    yield f"read as        {note}"
  if report.get("kind") == KIND:
    yield from events_told.lines(report)
  elif "sampling_rate" in report:
    yield from sounds_told.lines(report)
  elif "written" in report:
    yield from _of_images(report)
    yield from told.lines(report)
  if "vocab_size" in report and "splits" in report:
    yield from _of_texts(report)
  for reason, count in sorted(report["dropped"].items(), key=lambda pair: -pair[1]):
    keys = ", ".join(_keys(report, reason)[:_SHOWN])
    share = f" ({count / report['read']:.1%} of all)" if report.get("read") else ""
    yield f"dropped        {count:,} {reason}{share}{': ' + keys if keys else ''}"
  if "duplicates_between_splits" in report:
    yield _twice(report)
  yield f"dataset        {folder}, report in {REPORT}"


def _of_images(report: dict[str, Any]) -> Iterator[str]:
  written = ", ".join(f"{name} {count:,}" for name, count in report["written"].items())
  yield f"written        {written}; {report['classes']} classes"


def _of_texts(report: dict[str, Any]) -> Iterator[str]:
  for split, counts in report["splits"].items():
    rate = counts["bytes"] / max(counts["tokens"], 1)
    yield (
      f"{split:<14} {counts['examples']:,} {report['form']}, {counts['documents']:,} documents, "
      f"{counts['tokens']:,} tokens, {counts['bytes']:,} bytes, {rate:.3f} bytes a token"
    )
    if unknown := counts.get("unknown"):
      share = unknown / max(counts["tokens"], 1)
      yield f"unknown        {unknown:,} tokens of {split}, {share:.2%}: texts that it cannot spell"
  for where, count in report.get("overlaps", {}).items():
    keys = ", ".join(report["overlap_keys"][where])
    yield f"seen before    {count:,} in {where}, word for word: {keys}"
  if any("train and" in where for where in report.get("overlaps", {})):
    yield "               kept; --config.duplicates.given=drop_train leaves them out of train"
  yield from _of_questions(report)
  if long := report.get("long_documents"):
    keys = ", ".join(report["long_document_keys"])
    yield f"in pieces      {long:,} documents of more than 1,048,576 characters, each cut: {keys}"
  for kind in ("class_names", "tag_names"):
    if report[kind]:
      yield f"{kind.replace('_', ' '):<14} {len(report[kind])}: {', '.join(report[kind][:_SHOWN])}"
  yield f"vocabulary     {report['vocab_size']:,} tokens, {report['tokenizer']}"


def _of_questions(report: dict[str, Any]) -> Iterator[str]:
  if not report.get("questions"):
    return
  yield (
    f"questions      {report['questions']:,}, {report['unanswered']:,} without an answer; windows "
    f"of {report['window']} tokens, {report['stride']} apart"
  )
  for where, count in report["misplaced"].items():
    keys = ", ".join(report["misplaced_keys"][where])
    yield f"answers        {count:,} not where answer_start says, but {where}: {keys}"
  if unplaced := report["unplaced"]:
    yield f"               {unplaced:,} questions with no answer in its place: not trained on"


def _keys(report: dict[str, Any], reason: str) -> list[str]:
  if "dropped_keys" in report:
    return list(report["dropped_keys"].get(reason, ()))
  return [key for key, why in report["dropped_files"] if why == reason]


def _twice(report: dict[str, Any]) -> str:
  twice = report["duplicates_between_splits"]
  count = report.get("num_duplicates_between_splits", len(twice))
  shown = "; ".join(f"{d[0]} {d[1]} = {d[2]} {d[3]}" for d in twice[:_SHOWN])
  content = report["duplicates_are_equal_in"]
  return f"in two splits  {count:,} by {content}{': ' + shown if twice else ''}"

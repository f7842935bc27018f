"""Rows of results, each with the protocol it was measured by, and the file they are kept in."""

import dataclasses
import datetime
import json
import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pretrainjax.untrusted import ends_a_line, read_lines

RESULTS = "results.jsonl"
# Metrics that are one class's accuracy: "class/NAME".
CLASS_PREFIX = "class/"
_SHARES = (
  "top1",
  "top5",
  "mean_per_class",
  "of_absent_classes",
  "rank_me_share",
  CLASS_PREFIX,
  "accuracy",
  "f1",
  "exact",
  "has_answer",
  "no_answer",
  "macro_f1",
  "precision",
  "recall",
  "mrr",
  "reverse_recall",
  "reverse_mrr",
  "ndcg@",
  "hr@",
  "map@",
  "coverage@",
  "debiased_ndcg@",
  "cold_",
  "warm_",
  "wer",
  "cer",
  "substitutions",
  "deletions",
  "insertions",
)
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """One measured number, with the protocol it was measured by.

  Attributes:
    evaluator: its name in the config.
    metric: what the number is; "class/NAME" is one class's accuracy.
    value: NaN where there is none, such as a class without examples.
    encoder: the kind of encoder, "trained" or "random-init".
    checkpoint: the workdir that the parameters came from, or "".
    step: the step of the checkpoint; None for a random-init encoder, or a model that has none.
    protocol: the facts of `Evaluation.protocol`, by which it was measured.
    time: the time of the measurement, ISO 8601 in UTC.
  """

  evaluator: str
  metric: str
  value: float
  encoder: str
  checkpoint: str
  step: int | None
  protocol: dict[str, Any]
  time: str = dataclasses.field(
    default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
  )


def is_share(metric: str) -> bool:
  """Whether a metric is a share in [0, 1], to be shown in percent."""
  return metric.startswith(_SHARES)


def append_results(path: Path, rows: Iterable[Row]) -> None:
  """Appends rows as JSON lines, in one write: all of them or, after a crash, a part of them.

  Args:
    path: made if it is missing, folders too.
    rows: a NaN or infinite value is stored as null.
  """
  text = "".join(_line(row) for row in rows)
  path.parent.mkdir(parents=True, exist_ok=True)
  if not ends_a_line(path):
    text = "\n" + text  # whatever was cut off stays a line of its own
  # O_APPEND keeps the rows of two processes apart.
  descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
  try:
    data = text.encode()
    written = os.write(descriptor, data)
    while written < len(data):
      written += os.write(descriptor, data[written:])
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def read_results(path: Path) -> list[Row]:
  """Reads all rows of a file; a line that was cut off by a crash is skipped, with a warning."""
  return parse_results(read_lines(path), path)


def parse_results(lines: Iterable[bytes], path: Path) -> list[Row]:
  """The rows in some lines of a file; what is no row is skipped, with a warning.

  Args:
    lines: the lines, of which empty ones are no rows.
    path: the path of the file, for messages.
  """
  names = {f.name for f in dataclasses.fields(Row)}
  rows = []
  for number, line in enumerate(lines, start=1):
    if not line.strip():
      continue
    try:
      fields = json.loads(line)
      value = math.nan if fields["value"] is None else fields["value"]
      rows.append(Row(**{k: v for k, v in fields.items() if k in names} | {"value": value}))
    except (ValueError, KeyError, TypeError, RecursionError):
      _log.warning("%s:%d: not a row of results, skipped", path, number)
  return rows


def _line(row: Row) -> str:
  fields = dataclasses.asdict(row)
  if not math.isfinite(row.value):
    fields["value"] = None
  return json.dumps(fields, allow_nan=False) + "\n"

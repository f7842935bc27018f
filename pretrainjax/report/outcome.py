"""The numbers that a run ends with: its loss, and what its evaluators measured at the last step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretrainjax.evaluators.base import plain
from pretrainjax.evaluators.compare import TRAINED
from pretrainjax.evaluators.results import Row
from pretrainjax.report.curves import read_metrics
from pretrainjax.train.assemble import Run


def outcome_rows(run: Run, metrics: Path, *, workdir: Path) -> list[Row]:
  """One row a number of the last step, the training loss first.

  Args:
    run: the run, which came to its end.
    metrics: the metrics.jsonl of the run.
    workdir: the run's folder.
  """
  found = read_metrics(metrics) if metrics.exists() else {}
  last = {
    name: float(values[-1])
    for name, (steps, values) in found.items()
    if steps[-1] == run.total_steps
  }
  where: dict[str, Any] = {
    "encoder": TRAINED,
    "checkpoint": str(workdir),
    "step": run.total_steps,
  }
  rows = []
  if "loss" in last:
    rows.append(
      Row(
        evaluator="training",
        metric="loss",
        value=last["loss"],
        protocol=_training_protocol(run),
        **where,
      )
    )
  for name, evaluator in run.evaluators.items():
    protocol = getattr(evaluator, "protocol", dict)()
    for full_name, value in last.items():
      group, _, metric = full_name.partition("/")
      if group == name:
        rows.append(Row(evaluator=name, metric=metric, value=value, protocol=protocol, **where))
  return rows


def _training_protocol(run: Run) -> Mapping[str, Any]:
  """How the training loss was measured."""
  steps = run.total_steps % run.train.log_every or run.train.log_every
  return {
    "data": plain(run.data),
    "loss": f"mean of the last {steps} step{'s' * (steps > 1)}, with augmentation and dropout",
  }

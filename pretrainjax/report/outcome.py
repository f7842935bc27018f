"""The numbers that a run ends with: its loss, and what its evaluators measured of one step.

It is the last step, or the best one where the run chose one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretrainjax.evaluators.base import plain
from pretrainjax.evaluators.compare import TRAINED
from pretrainjax.evaluators.results import Row
from pretrainjax.report.curves import read_metrics
from pretrainjax.train.assemble import Run


def outcome_rows(run: Run, metrics: Path, *, workdir: Path, step: int | None = None) -> list[Row]:
  """One row a number of a step, the training loss first where it was logged at that step.

  Args:
    run: the run, which came to its end.
    metrics: the metrics.jsonl of the run.
    workdir: the run's folder.
    step: the step; None is the last one.
  """
  step = run.total_steps if step is None else step
  found = read_metrics(metrics) if metrics.exists() else {}
  of_step = {
    name: float(values[steps == step][0])
    for name, (steps, values) in found.items()
    if (steps == step).any()
  }
  where: dict[str, Any] = {
    "encoder": TRAINED,
    "checkpoint": str(workdir),
    "step": step,
  }
  rows = []
  if "loss" in of_step:
    rows.append(
      Row(
        evaluator="training",
        metric="loss",
        value=of_step["loss"],
        protocol=_training_protocol(run, step),
        **where,
      )
    )
  for name, evaluator in run.evaluators.items():
    protocol = getattr(evaluator, "protocol", dict)()
    for full_name, value in of_step.items():
      group, _, metric = full_name.partition("/")
      if group == name:
        rows.append(Row(evaluator=name, metric=metric, value=value, protocol=protocol, **where))
  return rows


def _training_protocol(run: Run, step: int) -> Mapping[str, Any]:
  """How the training loss was measured."""
  steps = step % run.train.log_every or run.train.log_every
  return {
    "data": plain(run.data),
    "loss": f"mean of the last {steps} step{'s' * (steps > 1)}, with augmentation and dropout",
  }

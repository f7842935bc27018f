"""Bad steps, skipped for a loss or gradient that is not finite: their log, and the end of the run.

The step itself (`step.py`) leaves the state as it was.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import agree, is_main
from pretrainjax.train.assemble import Run
from pretrainjax.workdir.json_lines import append, rows

SKIPPED = "skipped.jsonl"
# The number of records' keys that the log shows; the file has all.
_SHOWN = 4
_log = logging.getLogger(__name__)


def record_skipped_step(
  run: Run, workdir: Path, *, step: int, batch: int, values: Mapping[str, float]
) -> None:
  """Logs a skipped step and adds its records to WORKDIR/skipped.jsonl, by the first process.

  Args:
    run: the run, built from its config.
    workdir: the folder of the run.
    step: the step that was skipped.
    batch: the position of its batch in the data, from 0.
    values: the metrics of the step, with "loss" and "grad_norm".
  """
  if not is_main():
    return
  keys = run.data.keys(seed=run.config.seed, step=batch)  # of all processes
  shown = ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" * (len(keys) > _SHOWN))
  loss, norm = values["loss"], values["grad_norm"]
  _log.warning("step %d skipped: loss %s, gradient norm %s, of %s", step, loss, norm, shown)
  path = workdir / SKIPPED
  # A run that was killed does its last steps again, and finds the same.
  if all((row.get("step"), row.get("batch")) != (step, batch) for row in rows(path)):
    numbers = {"loss": str(loss), "grad_norm": str(norm)}  # JSON has no NaN
    append(path, {"step": step, "batch": batch, **numbers, "keys": keys})


def stop_after_bad_steps(
  run: Run, workdir: Path, *, step: int, in_row: int, checkpoints: Checkpoints
) -> None:
  """Ends the run once `train.max_bad_steps` steps in a row were skipped.

  The last good step is where parameters broke, if it was not the data. Checkpoints after it are set
  aside, so that the run, started again, begins before it; unless there is none before.

  Args:
    run: the run, built from its config.
    workdir: the folder of the run.
    step: the last of the skipped steps.
    in_row: the number of skipped steps in a row.
    checkpoints: the checkpoints of the run.

  Raises:
    UserError: naming the last good step, and what may help.
  """
  if in_row < run.train.max_bad_steps:
    return
  good, saved = step - in_row, saved_steps(checkpoints)
  before, later = [s for s in saved if s <= good], [s for s in saved if s > good]
  reason = f"{in_row} steps in a row up to step {step} had no finite loss or gradient"
  for one in later if before else ():
    checkpoints.set_aside(one, reason=f"{reason}; the last good step is {good}")
  again = (
    f"started again, the run goes on from step {before[0]}" if before else "no checkpoint is older"
  )
  raise UserError(
    f"--config.train.max_bad_steps: {reason} and were skipped; the last good step is {good}; "
    f"{again}; {workdir / SKIPPED} names the records; lower --config.optimizer.learning_rate or "
    "set --config.optimizer.clip_norm"
  )


def saved_steps(checkpoints: Checkpoints) -> list[int]:
  """The saved steps, newest first, as process 0 sees them."""
  checkpoints.wait_until_idle()
  return json.loads(agree("which checkpoints there are", json.dumps(checkpoints.steps())))

"""What is said aloud where a run goes on under another schedule or batch size."""

import contextlib
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.allowed import names_of_others
from pretrainjax.config.objects import build
from pretrainjax.errors import UserError
from pretrainjax.train.assemble import Run

# Shares by which a learning rate may differ without a word.
_TOLERANCE = 0.01


def rate_jump(run: Run, saved_config: ConfigDict, *, params: Any, step: int) -> str | None:
  """How the learning rate jumps where another schedule goes on; None where it does not.

  Args:
    run: the run as it goes on.
    saved_config: the config that the checkpoint was saved with.
    params: the parameters, or their shapes.
    step: the step of the checkpoint, without skipped ones.
  """
  keys = ("optimizer", "train", "data")
  if all(saved_config.get(key) == run.config.get(key) for key in keys):
    return None
  allow = names_of_others(run.config)
  # Where the old schedule cannot be built any more, there is nothing to compare.
  with contextlib.suppress(UserError, ValueError, AttributeError, KeyError):
    optimizer = build(saved_config.optimizer, path="config.optimizer", allow=allow)
    duration = build(saved_config.train.duration, path="config.train.duration", allow=allow)
    sizes = {"batch_size": saved_config.data.batch_size, "num_examples": run.data.num_examples}
    total = duration.in_steps(**sizes)
    _, old_rate = optimizer.build(params, total_steps=total, **sizes)
    before, now = float(old_rate(step)), float(run.learning_rate(step))
    if abs(now - before) > _TOLERANCE * max(abs(before), abs(now)):
      lengths = f": the run has {run.total_steps:,} steps now, and had {total:,}"
      return (
        f"the learning rate jumps from {before:.3g} to {now:.3g} at step {step:,}"
        f"{lengths if total != run.total_steps else ''}"
      )
  return None


def other_batch(run: Run, *, before: int, step: int, example: int) -> str:
  """What another batch size does to the examples that a run sees.

  Args:
    run: the run as it goes on.
    before: the batch size that the checkpoint was saved with.
    step: the step of the checkpoint.
    example: the number of examples that were seen, or passed over.
  """
  now, left = run.data.batch_size, run.total_steps - step
  line = f"batches of {now}, not {before}: going on with example {example}"
  if getattr(run.data, "padding", None) is not None:
    line += " (rows are sorted by length within some batches: some come twice, others never)"
  end, planned = example + left * now, run.total_steps * now
  if run.train.duration.steps is not None:
    planned = example + left * before
  if end < planned:
    return f"{line}; the last {planned - end:,} examples that were planned are passed over"
  return f"{line}; the run sees {end - planned:,} examples more than were planned"

"""The step that a run is judged by: the best one by a number that was measured while it trained."""

import logging
from collections.abc import Mapping

from pretrainjax.checkpoint.best import best_step
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError, one_line
from pretrainjax.train.assemble import Run
from pretrainjax.train.state import TrainState
from pretrainjax.types import Evaluator

_log = logging.getLogger(__name__)


def measured_once(
  evaluators: Mapping[str, Evaluator], *, metric: str | None
) -> dict[str, Evaluator]:
  """The evaluators that run on the chosen step alone, such as those of the test split.

  Args:
    evaluators: those of the run, by name.
    metric: the number that the step is chosen by, "evaluator/number"; None chooses none, and all
      run on the last step.

  Returns:
    Those that run at the end only, but for the one that gives the number.
  """
  if metric is None:
    return {}
  chooser = metric.partition("/")[0]
  return {name: one for name, one in evaluators.items() if not one.every and name != chooser}


def restore_best(run: Run, checkpoints: Checkpoints, *, last: int) -> tuple[int, TrainState | None]:
  """Restores the best step; one that is damaged is set aside, and the next best is taken.

  Args:
    run: the run, built from its config.
    checkpoints: the checkpoints of the run.
    last: the last step, which is not restored.

  Returns:
    The step and its whole state; the last step and None where none is known to be better.
  """
  target = run.parallel.abstract(run.abstract_state)
  keep = run.train.keep
  while (best := best_step(checkpoints, keep)) is not None and best.step != last:
    try:
      return best.step, checkpoints.restore(target, step=best.step)
    except UserError as error:
      moved = checkpoints.set_aside(best.step, reason=one_line(error))
      _log.warning("CHECKPOINT DAMAGED: step %d, the best; it is in %s now", best.step, moved)
  return last, None

"""Which step of a run is meant where the user names none: the best one, where the run chose one."""

from typing import NamedTuple

from pretrainjax.checkpoint.best import Best, best_step
from pretrainjax.checkpoint.manager import FOLDER, Checkpoints, Keep
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.checkpoint.sealed import Damaged
from pretrainjax.errors import UserError


class Choice(NamedTuple):
  """The step that is taken.

  Attributes:
    reference: the run with its step.
    reason: why it is that one, for a person; "" where there was nothing to choose.
  """

  reference: Reference
  reason: str = ""


def choose_step(text: str) -> Choice:
  """Chooses the best step of a run by the number that the run kept its checkpoints by.

  Args:
    text: the reference as a user typed it; a step in it stays.
  """
  reference = Reference.parse(text)
  is_run = reference.source == "run" and (reference.folder / FOLDER).is_dir()
  if reference.step is not None or not is_run:
    return Choice(reference)
  with Checkpoints(reference.folder, read_only=True) as checkpoints:
    steps, keep = checkpoints.steps(), _keep(checkpoints)
    best = None if keep is None else best_step(checkpoints, keep)
  if best is None or keep is None:
    return Choice(reference)
  chosen = Reference(reference.folder, best.step, reference.part)
  return Choice(chosen, reason(best, keep, last=steps[0]))


def reason(best: Best, keep: Keep, *, last: int) -> str:
  """Why a step is taken, in words.

  Args:
    best: the step that was chosen, with its number.
    keep: how it was chosen.
    last: the last step of the run.
  """
  extreme = {"max": "highest", "min": "lowest"}[keep.mode]
  said = f"the {extreme} {keep.metric}, {best.number:.4g}"
  if best.step == last:
    return f"{said}, and the last step"
  at_last = "" if best.of_last is None else f", with {best.of_last:.4g}"
  return f"{said}; the last step is {last}{at_last}"


def _keep(checkpoints: Checkpoints) -> Keep | None:
  """How the run keeps checkpoints, by the newest config that can be read."""
  for step in checkpoints.steps():
    try:
      found = checkpoints.config(step).train.keep
      return Keep(metric=found.metric, mode=found.mode) if found.metric else None
    except (Damaged, UserError, AttributeError, ValueError, TypeError, OSError):
      continue
  return None

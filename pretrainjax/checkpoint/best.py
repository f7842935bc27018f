"""The best of the saved steps of a run, by a number that was measured of them."""

import json
import math
from typing import NamedTuple

from pretrainjax.checkpoint.manager import Checkpoints, Keep
from pretrainjax.process.distributed import agree


class Best(NamedTuple):
  """The best of the saved steps.

  Attributes:
    step: the number of the step.
    number: the number that it was chosen by.
    of_last: the same number of the last step; None where that is not known.
  """

  step: int
  number: float
  of_last: float | None


def best_step(checkpoints: Checkpoints, keep: Keep) -> Best | None:
  """The best of the saved steps, of equals the last, as process 0 sees it.

  Args:
    checkpoints: the checkpoints of the run.
    keep: which number is meant, and whether more of it is better.

  Returns:
    None where no number is meant, or no step is known to have it.
  """
  if keep.metric is None:
    return None
  steps, found = checkpoints.steps(), None
  numbers = {step: checkpoints.number(step, keep.metric) for step in steps}
  known = {step: number for step, number in numbers.items() if not math.isnan(number)}
  if known:
    sign = 1 if keep.mode == "max" else -1
    step = max(known, key=lambda step: (sign * known[step], step))
    found = [step, known[step], known.get(steps[0])]
  found = json.loads(agree("which step is the best", json.dumps(found)))
  return None if found is None else Best(*found)

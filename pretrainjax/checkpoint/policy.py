"""The preservation policy: which checkpoints Orbax may delete."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class NewestAndBest:
  """A preservation policy for Orbax that keeps the newest checkpoints and the best ones.

  Orbax's own for the best ones forgets their numbers when a run is started again.

  Attributes:
    last: the number of newest checkpoints that are kept.
    best: the number of best checkpoints that are kept.
    value: the function from a step to its number, more is better and NaN is unknown; None keeps
      none by it.
  """

  last: int
  best: int
  value: Callable[[int], float] | None

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
    """Whether each checkpoint stays; they come in the order of their steps."""
    del context
    stay = self.should_stay([checkpoint.step for checkpoint in checkpoints])
    return [checkpoint.step in stay for checkpoint in checkpoints]

  def should_stay(self, steps: Sequence[int]) -> set[int]:
    """Which of these steps stay.

    Args:
      steps: the saved steps, in their order.
    """
    stay = set(steps[-self.last :])
    if self.value is not None:
      known = [(value, step) for step in steps if not math.isnan(value := self.value(step))]
      stay |= {step for _, step in sorted(known)[-self.best :]}
    return stay

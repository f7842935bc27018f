"""Which checkpoints Orbax may delete."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class NewestAndBest:
  """A preservation policy of Orbax.

  Orbax's own for the best ones forgets their numbers when a run is started again.

  Attributes:
    last: how many of the newest stay.
    best: how many of the best.
    value: of a step, more is better and NaN is unknown; None keeps none by quality.
  """

  last: int
  best: int
  value: Callable[[int], float] | None

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
    """Whether each checkpoint stays; they come in the order of their steps."""
    del context
    steps = [checkpoint.step for checkpoint in checkpoints]
    stay = set(steps[-self.last :])
    if self.value is not None:
      known = [(value, step) for step in steps if not math.isnan(value := self.value(step))]
      stay |= {step for _, step in sorted(known)[-self.best :]}
    return [step in stay for step in steps]

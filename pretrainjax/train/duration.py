"""The duration of training, or of a part of it, in steps, epochs or examples."""

import dataclasses
import math
from typing import Annotated

from pretrainjax.ranges import NonNegativeFloat, NonNegativeInt, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duration:
  """A length of training; exactly one unit is given.

  Attributes:
    steps: the number of optimizer steps, >= 0.
    epochs: the number of passes over the training data, >= 0; may be fractional.
    examples: the number of examples seen, >= 0.
  """

  steps: NonNegativeInt | None = None
  epochs: NonNegativeFloat | None = None
  examples: Annotated[int, Range(0, 2**63 - 1)] | None = None

  def __post_init__(self):
    given = {n: v for n, v in dataclasses.asdict(self).items() if v is not None}
    if len(given) != 1:
      found = ", ".join(f"{n}={v}" for n, v in given.items()) or "none"
      raise ValueError(f"a duration takes exactly one of steps, epochs, examples; found {found}")
    ((name, value),) = given.items()
    if not 0 <= value < math.inf:
      raise ValueError(f"{name}={value}: a duration is finite and not negative")

  def in_steps(self, *, batch_size: int, num_examples: int | None) -> int:
    """The number of steps that see at least this much data.

    Args:
      batch_size: the examples of one step, over all devices and hosts.
      num_examples: the examples of one epoch; None where the data does not know.

    Raises:
      ValueError: for epochs of data whose length is not known.
    """
    if self.steps is not None:
      return self.steps
    if self.examples is not None:
      return -(-self.examples // batch_size)
    if num_examples is None:
      raise ValueError(f"epochs={self.epochs}: the data has no known length; use steps or examples")
    # 0.1 epochs of 60000 is 6000.0000000000009 in floating point, and no step more.
    return math.ceil(self.epochs * num_examples / batch_size - 1e-6)

"""Detects spikes of the loss by its running mean and standard deviation, kept in the state."""

import dataclasses
from typing import Annotated, Any, Literal

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from pretrainjax.ranges import (
  LARGEST,
  NonNegativeInt,
  PositiveFloat,
  PositiveInt,
  Range,
  check_ranges,
)

# A loss that hardly moves has next to no deviation: a jump is this share of its mean at least.
_LEAST = 1e-3


@dataclasses.dataclass(frozen=True)
class Spikes:
  """The definition of a spike of the loss, and what is done about it.

  Attributes:
    action: "warn" says so; "roll_back" also goes back to a checkpoint before the jump and on with
      the batches after it, as PaLM did by hand (arXiv 2204.02311, section 5.1); "off" does nothing.
    deviations: a loss so many standard deviations above its running mean is high.
    patience: so many high losses in a row are a spike.
    window: steps that the running mean and deviation look back, and steps before the first verdict.
    back: steps that the checkpoint is to lie before the spike; PaLM took about 100.
    skip: further batches that are passed over, beyond those seen from the checkpoint to the spike.
    max_roll_backs: the run ends when there would be more.
  """

  action: Literal["off", "warn", "roll_back"] = "warn"
  deviations: PositiveFloat = 6.0
  patience: PositiveInt = 3
  window: Annotated[int, Range(2, LARGEST)] = 100
  back: NonNegativeInt = 100
  skip: NonNegativeInt = 0
  max_roll_backs: PositiveInt = 5

  def __post_init__(self):
    check_ranges(self)


@struct.dataclass
class LossTrend:
  """The running mean and variance of the loss, as scalars.

  Attributes:
    count: the number of losses so far, int32, without those not finite, or far above the mean.
    mean: the running mean, float32, in which each loss weighs less than the next.
    variance: the running variance, float32.
    high_in_row: the number of latest losses in a row that were far above the mean, int32.
  """

  count: Any
  mean: Any
  variance: Any
  high_in_row: Any


def initial_trend() -> LossTrend:
  """The trend before the first step."""
  zero, none = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
  return LossTrend(count=zero, mean=none, variance=none, high_in_row=zero)


def update_trend(trend: LossTrend, loss: Float[Array, ""], *, spikes: Spikes) -> LossTrend:
  """Updates the trend of the loss with the loss of one more step.

  High losses are left out, so that one hides no other. Where they go on they are a new level: after
  `patience` of them the next ones count as if only just not high, until they are usual.

  Args:
    trend: the trend before this step.
    loss: the loss of the step, which is finite.
    spikes: the definition of a high loss.

  Returns:
    The trend after.
  """
  loss = loss.astype(jnp.float32)
  limit = high_threshold(trend, spikes=spikes)
  high = (trend.count >= spikes.window) & (loss > limit)
  off = jnp.where(high, limit, loss) - trend.mean
  counts = ~high | (trend.high_in_row >= spikes.patience)
  share = counts / jnp.minimum(trend.count + 1, spikes.window).astype(jnp.float32)
  return LossTrend(
    count=trend.count + counts,
    mean=trend.mean + share * off,
    variance=(1.0 - share) * (trend.variance + share * off**2),
    high_in_row=jnp.where(high, trend.high_in_row + 1, 0),
  )


def high_threshold(trend: LossTrend, *, spikes: Spikes) -> Float[Array, ""]:
  """The loss above which the next one is high.

  Args:
    trend: the trend so far.
    spikes: the definition of a high loss.
  """
  deviation = jnp.maximum(jnp.sqrt(trend.variance), _LEAST * jnp.abs(trend.mean))
  return trend.mean + spikes.deviations * deviation

"""Schedules over a run: factors of the peak learning rate, and ramps of other values.

With a warmup, step 0 has the factor `start` (0: it only fills the optimizer's moments) and the
peak is reached exactly at step `warmup`. Endings are meant at step `total_steps`, one after the
last one taken.
"""

import dataclasses
import logging
import math
from typing import Literal

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from pretrainjax.ranges import Finite, Fraction
from pretrainjax.train.duration import Duration

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
  """A factor of the peak learning rate in every step; this base class is constant, 1.

  Attributes:
    warmup: linear rise from `start` to 1; None has none.
    start: factor at step 0 when there is a warmup, in [0, 1].
  """

  warmup: Duration | None = None
  start: Fraction = 0.0

  def __post_init__(self):
    _check_unit(self, "start")

  def build(self, *, total_steps: int, batch_size: int, num_examples: int | None) -> optax.Schedule:
    """The factor as a function of the step, float32, for use inside jit or outside.

    Args:
      total_steps: the number of steps of the run.
      batch_size: the examples of one step, over all devices and hosts.
      num_examples: the examples of one epoch, None where not known.
    """

    def in_steps(duration: Duration | None) -> int:
      if duration is None:
        return 0
      return duration.in_steps(batch_size=batch_size, num_examples=num_examples)

    warmup = in_steps(self.warmup)
    if warmup > total_steps:
      _log.warning("warmup is %d steps, but the run only %d", warmup, total_steps)
    after = self._after(warmup, total_steps, in_steps)

    def factor(step):
      # optax's own schedules mix integers and floats, which strict promotion refuses.
      step = jnp.asarray(step, jnp.float32)
      rise = jnp.clip(step / max(warmup, 1), 0.0, 1.0)
      rise = self.start + (1 - self.start) * rise
      return jnp.where(step < warmup, rise, after(step))

    return factor

  def _after(self, warmup: int, total_steps: int, in_steps) -> optax.Schedule:
    """The factor from step `warmup` on."""
    del warmup, total_steps, in_steps
    return jnp.ones_like


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
  """The peak throughout, after the warmup if there is one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmupCosine(Schedule):
  """Half a cosine from the peak to `final` (SGDR, arXiv 1608.03983, without restarts).

  Attributes:
    final: factor at the end, in [0, 1].
  """

  final: Fraction = 0.0

  def __post_init__(self):
    super().__post_init__()
    _check_unit(self, "final")

  def _after(self, warmup: int, total_steps: int, in_steps) -> optax.Schedule:
    return lambda step: _cosine(1.0, self.final, _progress(step, warmup, total_steps))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmupLinear(Schedule):
  """A straight line from the peak to `final` (BERT, arXiv 1810.04805).

  Attributes:
    final: factor at the end, in [0, 1].
  """

  final: Fraction = 0.0

  def __post_init__(self):
    super().__post_init__()
    _check_unit(self, "final")

  def _after(self, warmup: int, total_steps: int, in_steps) -> optax.Schedule:
    return lambda step: 1 + (self.final - 1) * _progress(step, warmup, total_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WSD(Schedule):
  """Warmup, stable, decay: the peak until `decay` before the end (arXiv 2404.06395).

  Attributes:
    decay: length of the fall at the end; a decay that overlaps the warmup starts at its end.
    shape: the shape of the fall; "sqrt" is 1 - sqrt(progress), better than "linear" in arXiv
      2405.18392.
    final: factor at the end, in [0, 1].
  """

  decay: Duration
  shape: Literal["linear", "sqrt"] = "sqrt"
  final: Fraction = 0.0

  def __post_init__(self):
    super().__post_init__()
    _check_unit(self, "final")
    if self.shape not in ("linear", "sqrt"):
      raise ValueError(f"shape='{self.shape}': expected 'linear' or 'sqrt'")

  def _after(self, warmup: int, total_steps: int, in_steps) -> optax.Schedule:
    start = max(warmup, total_steps - in_steps(self.decay))

    def fall(step):
      progress = _progress(step, start, total_steps)
      progress = jnp.sqrt(progress) if self.shape == "sqrt" else progress
      return 1 + (self.final - 1) * progress

    return fall


@dataclasses.dataclass(frozen=True, kw_only=True)
class RSqrt(Schedule):
  """Reciprocal square root, 1 / sqrt(1 + t / timescale), t counted from the end of the warmup.

  As in Scaling Vision Transformers (arXiv 2106.04560); timescale = warmup gives T5's
  sqrt(warmup / step).

  Attributes:
    timescale: the length after which the factor has come to 1 / sqrt(2), more than 0.
    cooldown: linear fall to 0 at the end, on top; None has none.
  """

  timescale: Duration
  cooldown: Duration | None = None

  def _after(self, warmup: int, total_steps: int, in_steps) -> optax.Schedule:
    timescale, cooldown = in_steps(self.timescale), in_steps(self.cooldown)
    if timescale < 1:
      raise ValueError(f"timescale={self.timescale}: found {timescale} steps, expected at least 1")

    def fall(step):
      factor = 1 / jnp.sqrt(1 + jnp.maximum(step - warmup, 0.0) / timescale)
      if not cooldown:
        return factor
      return factor * (1 - _progress(step, total_steps - cooldown, total_steps))

    return fall


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosineRamp:
  """Values (not factors) that go from `start` to `end` along half a cosine, over the whole run.

  For weight decay and momentum, as DINO's .04 to .4 (arXiv 2104.14294).

  Attributes:
    start: value at step 0.
    end: value at step `total_steps`.
  """

  start: Finite
  end: Finite

  def build(self, *, total_steps: int, batch_size: int, num_examples: int | None) -> optax.Schedule:
    """The value as a function of the step; see `Schedule.build`."""
    del batch_size, num_examples
    return lambda step: _cosine(
      self.start, self.end, _progress(jnp.asarray(step, jnp.float32), 0, total_steps)
    )


def _check_unit(schedule: Schedule, name: str) -> None:
  value = getattr(schedule, name)
  if not 0 <= value <= 1:
    raise ValueError(f"{name}={value}: a factor of the peak learning rate lies in [0, 1]")


def _progress(step: Float[Array, "*d"], start: int, end: int) -> Float[Array, "*d"]:
  """How far `step` is from `start` (0) to `end` (1)."""
  return jnp.clip((step - start) / max(end - start, 1), 0.0, 1.0)


def _cosine(start: float, end: float, progress: Float[Array, "*d"]) -> Float[Array, "*d"]:
  return end + (start - end) * 0.5 * (1 + jnp.cos(math.pi * progress))

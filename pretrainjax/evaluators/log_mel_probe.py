"""What a linear classifier finds in the spectrogram itself, without any network."""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pretrainjax.evaluators.features import Features, forward
from pretrainjax.evaluators.linear_probe import LinearProbe
from pretrainjax.models.layers.frames import moments
from pretrainjax.models.layers.log_mel import speech_log_mel
from pretrainjax.ranges import PositiveFloat, PositiveInt
from pretrainjax.types import Batch, Sound


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMelProbe(LinearProbe):
  """The baseline of encoders of sound: `LinearProbe` on the log-mel spectrogram, in a few parts.

  The features of a sound are the means of each band over equal parts of its time, in decibels. It
  needs no checkpoint, and gives the same numbers beside any.

  Attributes:
    num_mels: the number of bands, of 25 ms every 10 ms.
    num_parts: the number of parts that a sound is cut into.
    range_db: what lies so far below the loudest band and frame of a sound is raised to that, so
      that neither its level nor the noise in its silence is heard.
    remove_mean: whether a band's mean over the sound is subtracted, and with it voice and
      microphone: right for words, and wrong where these, or steady noises, are the classes.

  The others are those of `LinearProbe`. The defaults were chosen on training sounds alone, of the
  prompts of one speaker, played 13 % slower, 15 % faster, or with a little noise.
  """

  name: str = "log_mel"
  num_mels: PositiveInt = 40
  num_parts: PositiveInt = 8
  range_db: PositiveFloat | PositiveInt = 60.0
  remove_mean: bool = True
  measures_network: ClassVar[bool] = False
  least_deviation: ClassVar[float] = 1.0  # dB: bands beyond telephones' are all but constant

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    features = f"means of {self.num_mels} log-mel bands over {self.num_parts} parts; no network"
    return super().protocol() | {"features": features}

  def _features(self, subject: Any) -> tuple[Features, Features]:
    names = ("num_mels", "num_parts", "range_db", "remove_mean")
    apply = functools.partial(_means, **{name: getattr(self, name) for name in names})
    options = {"inputs": _sound, "seed": self.seed, "what": "log-mel features"}
    train = forward(apply, self.train, max_examples=self.max_train, **options)
    return train, forward(apply, self.test, max_examples=self.max_test, **options)


def _sound(batch: Batch) -> Sound:
  try:
    return Sound(batch["audio"], batch["num_samples"])
  except KeyError as error:
    found = ", ".join(sorted(batch))
    raise ValueError(f"train, test: found {found}, expected sound") from error


@functools.partial(jax.jit, static_argnames=("num_mels", "num_parts", "range_db", "remove_mean"))
def _means(
  sound: Sound, *, num_mels: int, num_parts: int, range_db: float, remove_mean: bool
) -> Float[Array, "B D"]:
  """The features of `LogMelProbe`; zeros of a sound that is shorter than a frame."""
  log_mel = dataclasses.replace(speech_log_mel(num_mels), normalise="none")
  x, valid = log_mel(sound)
  x, real = x * (10 / math.log(10)), valid[..., None]
  loudest = jnp.max(jnp.where(real, x, -jnp.inf), axis=(1, 2), keepdims=True)
  x = jnp.where(real, jnp.maximum(x - loudest, -range_db), 0.0)
  if remove_mean:
    mean, _ = moments(x, valid)
    x = jnp.where(real, x - mean, 0.0)
  means = jnp.matmul(_parts(valid, num_parts), x, precision="highest")  # B parts F
  return means.reshape(len(means), -1)


def _parts(valid: Bool[Array, "B T"], num_parts: int) -> Float[Array, "B parts T"]:
  """The weight of each frame in the mean of each part; one on a border counts in both."""
  length = jnp.sum(valid, axis=1)[:, None, None] / num_parts
  first = jnp.arange(num_parts)[None, :, None] * length
  frame = jnp.arange(valid.shape[1])[None, None]
  within = jnp.minimum(frame + 1, first + length) - jnp.maximum(frame, first)
  return jnp.maximum(within, 0.0) / jnp.maximum(length, 1e-6)

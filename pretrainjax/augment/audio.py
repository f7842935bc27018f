"""Sound and log-mel features, made different on the device: masks, noise, shifts, speed.

Each example draws by a key of its own, so that no result depends on the number of devices. What
lies behind the end of an example is padding, and stays silent.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int16, Key

from pretrainjax import collectives
from pretrainjax.ranges import Fraction, NonNegativeInt, check_ranges

Waves = Float[Array, "B S"] | Int16[Array, "B S"]
_SCALE = 32768.0  # of int16
_FLOOR = 1e-10  # energy of what is taken for silence


@dataclasses.dataclass(frozen=True)
class Policy:
  """How much of a spectrogram is masked.

  Attributes:
    num_frequency: the number of masks of frequencies.
    frequency: the widest of those, in bands.
    num_time: the number of masks of time.
    time: the widest of those, in frames.
    time_fraction: the widest, as a share of an example's frames.
  """

  num_frequency: NonNegativeInt
  frequency: NonNegativeInt
  num_time: NonNegativeInt
  time: NonNegativeInt
  time_fraction: Fraction

  def __post_init__(self):
    check_ranges(self)


# Table 1 of arXiv 1904.08779, for LibriSpeech: basic and double; warping of time, which matters
# least (section 5), is left out.
POLICIES = {
  "none": Policy(0, 0, 0, 0, 1.0),
  "LB": Policy(1, 27, 1, 100, 1.0),
  "LD": Policy(2, 27, 2, 100, 1.0),
}


def spec_augment(
  features: Float[Array, "B T F"],
  lengths: Int[Array, " B"],
  *,
  policy: Policy,
  key: Key[Array, ""],
  fill: Literal["mean", "zero"] = "mean",
) -> Float[Array, "B T F"]:
  """Hides bands of frequencies and runs of frames.

  A mask of frequencies has a width f uniform in {0, ..., frequency}, and begins uniformly in
  {0, ..., F - f - 1}; one of time has a width t uniform in {0, ..., min(time, time_fraction *
  length)}, and begins uniformly in {0, ..., length - t - 1}. Masks may overlap.

  Args:
    features: the log-mel energies, float.
    lengths: the frames of each example that are no padding.
    policy: how much is masked, such as POLICIES["LD"].
    key: the step's key for this purpose, equal on all devices.
    fill: "mean" fills with the mean of the example's own values, "zero" with 0, which is the same
      where features are normalised.

  Returns:
    The features in their dtype; padding is as it was.

  Reference: Park et al., SpecAugment (arXiv 1904.08779). Ours never begins a mask in the padding,
  and warps no time.
  """
  keys = collectives.example_keys(key, len(features))
  mask = jax.vmap(lambda k, n: _mask(k, n, features.shape[1:], policy))(keys, lengths)
  real = jnp.arange(features.shape[1])[None] < lengths[:, None]  # B T
  value = jnp.zeros(len(features), features.dtype)
  if fill == "mean":
    total = jnp.sum(features * real[..., None], axis=(1, 2), dtype=jnp.float32)
    count = jnp.maximum(lengths, 1) * features.shape[2]
    value = (total / count.astype(jnp.float32)).astype(features.dtype)
  return jnp.where(mask & real[..., None], value[:, None, None], features)


def _mask(key, length, shape: tuple[int, ...], policy: Policy) -> Bool[Array, "T F"]:
  """True at what is hidden of one example."""
  num_frames, num_bands = shape
  frequency_key, time_key = jax.random.split(key)
  widest = min(policy.frequency, num_bands)
  bands = _runs(frequency_key, policy.num_frequency, widest, num_bands, num_bands)
  most = jnp.minimum(policy.time, jnp.floor(policy.time_fraction * length)).astype(jnp.int32)
  frames = _runs(time_key, policy.num_time, jnp.minimum(most, length), length, num_frames)
  return bands[None, :] | frames[:, None]


def _runs(key, count: int, widest, within, size: int) -> Bool[Array, " N"]:
  """True in some runs of random width, each at a random place `within` the first so many."""
  if not count:
    return jnp.zeros(size, bool)
  width_key, place_key = jax.random.split(key)
  widths = jax.random.randint(width_key, (count,), 0, widest + 1)
  starts = jax.random.randint(place_key, (count,), 0, jnp.maximum(within - widths, 1))
  places = jnp.arange(size)[None]
  return jnp.any((places >= starts[:, None]) & (places < (starts + widths)[:, None]), axis=0)


def _to_float(waves: Waves) -> Float[Array, "B S"]:
  """Samples as float32 in [-1, 1)."""
  if waves.dtype == jnp.int16:
    return waves.astype(jnp.float32) / _SCALE
  return waves.astype(jnp.float32)


def add_noise(
  waves: Waves,
  num_samples: Int[Array, " B"],
  *,
  snr: tuple[float, float],
  probability: float = 1.0,
  key: Key[Array, ""],
) -> Float[Array, "B S"]:
  """Adds white noise, so loud that the ratio of energies is uniform in a range of decibels.

  Args:
    waves: int16, or float in [-1, 1].
    num_samples: the samples of each example that are no padding.
    snr: the lowest and the highest ratio of signal to noise, in dB.
    probability: the share of examples that get any, in [0, 1].
    key: the step's key for this purpose, equal on all devices.

  Returns:
    Float32 samples; padding is 0. An example that is silent stays so.
  """
  real = _real(waves, num_samples)
  sound = _to_float(waves) * real

  def noise(key) -> tuple[Array, Array]:
    wave_key, level_key, choice_key = jax.random.split(key, 3)
    level = jax.random.uniform(level_key, (), minval=snr[0], maxval=snr[1])
    level = jnp.where(jax.random.bernoulli(choice_key, probability), level, jnp.inf)
    return jax.random.normal(wave_key, sound.shape[1:]), level

  waves_of_noise, levels = jax.vmap(noise)(collectives.example_keys(key, len(sound)))
  energy = jnp.sum(sound**2, axis=1) / jnp.maximum(num_samples, 1)
  scale = jnp.sqrt(jnp.where(energy > _FLOOR, energy, 0.0) * 10 ** (-levels / 10))
  return (sound + scale[:, None] * waves_of_noise) * real


def shift(waves: Waves, num_samples: Int[Array, " B"], *, most: int, key: Key[Array, ""]) -> Waves:
  """Moves each sound by a whole number of samples, with silence where it came from.

  Args:
    waves: samples of any kind.
    num_samples: the samples of each example that are no padding; what is moved over either end is
      lost.
    most: the farthest, in either direction; uniform in {-most, ..., most}.
    key: the step's key for this purpose, equal on all devices.

  Returns:
    The samples in their dtype; padding is 0.
  """
  keys = collectives.example_keys(key, len(waves))
  offsets = jax.vmap(lambda k: jax.random.randint(k, (), -most, most + 1))(keys)
  places = jnp.arange(waves.shape[1])[None] - offsets[:, None]  # B S
  inside = (places >= 0) & (places < num_samples[:, None]) & _real(waves, num_samples)
  found = jnp.take_along_axis(waves, jnp.clip(places, 0, waves.shape[1] - 1), axis=1)
  return jnp.where(inside, found, jnp.zeros((), waves.dtype))


class Changed(NamedTuple):
  """Sounds of other lengths than they had.

  Attributes:
    waves: the samples, padded with 0.
    num_samples: the samples of each example that are no padding.
  """

  waves: Float[Array, "B S"]
  num_samples: Int[Array, " B"]


def change_speed(
  waves: Waves,
  num_samples: Int[Array, " B"],
  *,
  factors: tuple[float, ...] = (0.9, 1.0, 1.1),
  key: Key[Array, ""],
) -> Changed:
  """Plays each sound at a random one of some speeds: its pitch changes along.

  Args:
    waves: int16, or float in [-1, 1].
    num_samples: the samples of each example that are no padding.
    factors: the speeds, above 0; 1.1 makes a sound shorter by a tenth.
    key: the step's key for this purpose, equal on all devices.

  Returns:
    Float32 samples and their numbers. Rows keep their length: the end of a slow example that finds
    no room is lost.

  Reference: Ko et al., Audio Augmentation for Speech Recognition (Interspeech 2015). Ours
  interpolates linearly between two samples.
  """
  sound, size = _to_float(waves) * _real(waves, num_samples), waves.shape[1]
  keys = collectives.example_keys(key, len(sound))
  speeds = jnp.asarray(factors, jnp.float32)
  speed = jax.vmap(lambda k: speeds[jax.random.randint(k, (), 0, len(factors))])(keys)
  changed = jnp.minimum(jnp.round(num_samples / speed).astype(jnp.int32), size)
  places = jnp.arange(size)[None] * speed[:, None]  # B S
  last = jnp.maximum(num_samples - 1, 0)[:, None]
  before = jnp.minimum(jnp.floor(places).astype(jnp.int32), last)
  after = jnp.minimum(before + 1, last)
  share = places - before
  one, other = (jnp.take_along_axis(sound, at, axis=1) for at in (before, after))
  found = one + jnp.clip(share, 0.0, 1.0) * (other - one)
  return Changed(found * (jnp.arange(size)[None] < changed[:, None]), changed)


def _real(waves: Array, num_samples: Array) -> Bool[Array, "B S"]:
  """True at what is no padding."""
  return jnp.arange(waves.shape[1])[None] < num_samples[:, None]

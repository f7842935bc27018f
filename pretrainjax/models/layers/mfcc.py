"""Mel-frequency cepstral coefficients with their changes: what HuBERT's first units are made of."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pretrainjax.models.layers.frames import Frames, real_frames
from pretrainjax.models.layers.log_mel import LogMel
from pretrainjax.types import Sound

NUM_COEFFICIENTS = 13
# Coefficients, how they change, and how that changes.
WIDTH = 3 * NUM_COEFFICIENTS
_BANDS, _LIFTER = 23, 22.0
# Frames on either side that a change is measured over.
_REACH = 2


def mfcc(sound: Sound) -> Frames:
  """13 coefficients of 25 ms every 10 ms, their first and second differences in time, "B T 39".

      c_k = lifter_k sum_f cos(pi k (f + 1/2) / 23) log(mel_f),   d_t = sum_n n (c_t+n - c_t-n) / 10

  Args:
    sound: samples, and how many of each row are real. Frames behind the last real one repeat it for
      the differences, as the sound's first and last frame do.

  Reference: Kaldi's defaults, as HuBERT, arXiv 2106.07447, section 4.2, takes them; ours has the
  zeroth coefficient where Kaldi has the logarithm of the frame's energy.
  """
  bands = {"num_mels": _BANDS, "window": "povey", "scale": "kaldi", "floor": 1e-10}
  frames = LogMel(**bands, preemphasis=0.97, remove_offset=True)(sound)
  cepstra = jnp.matmul(frames.features, _table(), precision="highest")
  last = jnp.maximum(jnp.sum(frames.valid, axis=1), 1) - 1
  changes = _changes(cepstra, last)
  features = jnp.concatenate([cepstra, changes, _changes(changes, last)], axis=-1)
  return Frames(features, frames.valid)


@functools.cache
def _table() -> Float[np.ndarray, "F K"]:
  """The cosine transform and the lifter, as one matrix."""
  bands, k = np.arange(_BANDS)[:, None], np.arange(NUM_COEFFICIENTS)[None]
  cosines = np.cos(np.pi * k * (bands + 0.5) / _BANDS) * np.sqrt(2.0 / _BANDS)
  cosines[:, 0] = np.sqrt(1.0 / _BANDS)
  lifter = 1.0 + 0.5 * _LIFTER * np.sin(np.pi * k / _LIFTER)
  return (cosines * lifter).astype(np.float32)


def _changes(x: Float[Array, "B T K"], last: Array) -> Float[Array, "B T K"]:
  """The slope of each coefficient over five frames; ends are repeated."""
  length = x.shape[1]
  places = jnp.arange(length)[None]

  def moved(by: int) -> Float[Array, "B T K"]:
    taken = jnp.clip(places + by, 0, last[:, None])
    return jnp.take_along_axis(x, taken[..., None], axis=1)

  steps = range(1, _REACH + 1)
  slope = sum(n * (moved(n) - moved(-n)) for n in steps) / (2 * sum(n * n for n in steps))
  return jnp.where(real_frames(last + 1, length)[..., None], slope, 0.0)

"""A tiny `SoundEncoder`: the mean over frames of a linear map of each."""

import jax.numpy as jnp
from flax import nnx

from pretrainjax.models.layers.frames import Frames, as_float, moments, real_frames
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.types import Encoded

FRAME = 800  # samples


class TinySoundEncoder(SoundEncoder):
  """Frames that do not overlap, each of which is mapped alone: the last bits aside, a sound's
  feature is the mean of its parts' where these are whole frames."""

  def __init__(self, *, embed_dim: int = 5, rngs: nnx.Rngs):
    self.embed_dim = embed_dim
    self.linear = nnx.Linear(FRAME, embed_dim, rngs=rngs)

  @property
  def receptive_field(self) -> int:
    return FRAME

  def features(self, inputs):
    audio = as_float(inputs.audio)
    count = audio.shape[1] // FRAME
    x = audio[:, : count * FRAME].reshape(len(audio), count, FRAME)
    return Frames(x, real_frames(jnp.asarray(inputs.num_samples) // FRAME, count))

  def encode(self, frames, *, masked=None, deterministic=True, rngs=None) -> Encoded:
    x = jnp.tanh(self.linear(frames.features))
    mean, _ = moments(x, frames.valid)
    return Encoded(x, mean[:, 0], frames.valid)

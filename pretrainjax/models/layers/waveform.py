"""From samples to frames: a stack of convolutions on the waveform."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from pretrainjax.models.layers.frames import (
  Convolution,
  Frames,
  as_float,
  moments,
  num_windows,
  real_frames,
)
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.mlp import activation as activate
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.ranges import PositiveFloat, PositiveInt
from pretrainjax.types import Sound

_EPS = 1e-5


def normalised_audio(sound: Sound) -> Sound:
  """Audio whose real samples have mean 0 and variance 1 in each row; behind them are zeros."""
  audio, count = as_float(sound.audio), jnp.asarray(sound.num_samples)
  valid = real_frames(count, audio.shape[1])
  mean, variance = (m[..., 0] for m in moments(audio[..., None], valid))  # each B 1
  return Sound(jnp.where(valid, (audio - mean) * jax.lax.rsqrt(variance + 1e-7), 0.0), count)


class TimeNorm(nnx.Module):
  """Gives each channel of a row mean 0 and variance 1 over the row's real frames, scale and shift.

  A group norm with as many groups as channels, but that padding does not count.

  Args:
    num_features: number of channels, C.
    eps: the number added to variances.
  """

  def __init__(self, *, num_features: PositiveInt, eps: PositiveFloat):
    self.eps = eps
    self.scale = nnx.Param(jnp.ones((num_features,), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((num_features,), jnp.float32))

  def __call__(self, frames: Frames) -> Float[Array, "B T C"]:
    """Normalises; the result has the dtype of the features."""
    wide = frames.features.astype(jnp.float32)
    mean, variance = moments(wide, frames.valid)
    factor = jax.lax.rsqrt(variance + self.eps) * self.scale[...].reshape(1, 1, -1)
    y = (wide - mean) * factor + self.bias[...].reshape(1, 1, -1)
    return y.astype(frames.features.dtype)


class Waveform(nnx.Module):
  """Convolutions without padding, each followed by a norm perhaps, and an activation.

  Args:
    dims: the channels of each convolution.
    sizes: the kernels, in samples of what they read.
    strides: how far a window is from the one before.
    norm: "group" has a norm over time behind the first convolution only, "layer" a layer norm
      behind each.
    use_bias: whether convolutions have a bias.
    activation: what follows each.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values (He's normal distribution).

  Raises:
    ValueError: where there are not as many of each.

  Reference: wav2vec 2.0, arXiv 2006.11477, section 2.
  """

  def __init__(
    self,
    *,
    dims: tuple[PositiveInt, ...],
    sizes: tuple[PositiveInt, ...],
    strides: tuple[PositiveInt, ...],
    norm: Literal["group", "layer"] = "group",
    use_bias: bool = False,
    activation: Activation = "gelu",
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    if not 0 < len(dims) == len(sizes) == len(strides):
      raise ValueError(
        f"conv_dims, conv_sizes, conv_strides: found {len(dims)}, {len(sizes)}, {len(strides)} "
        "numbers, expected one each for every convolution"
      )
    self.activation, self.sizes, self.strides = activation, sizes, strides
    self.num_layers = len(dims)
    shared = {"use_bias": use_bias, "dtype": dtype, "rngs": rngs}
    shared["kernel_init"] = nnx.initializers.he_normal()
    for i, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
      in_dim = dims[i - 1] if i else 1
      layer = Convolution(in_dim=in_dim, out_dim=dims[i], size=size, stride=stride, **shared)
      setattr(self, f"conv{i}", layer)
      setattr(self, f"norm{i}", _norm(norm, dims[i], is_first=i == 0))

  @property
  def receptive_field(self) -> int:
    """The number of samples that a frame stands on."""
    field = 1
    for size, stride in zip(self.sizes[::-1], self.strides[::-1], strict=True):
      field = (field - 1) * stride + size
    return field

  def valid(self, sound: Sound) -> Bool[Array, "B T"]:
    """Which of the frames are real, without making them."""
    counts = jnp.asarray(sound.num_samples)
    length = max(sound.audio.shape[1], self.receptive_field)
    for size, stride in zip(self.sizes, self.strides, strict=True):
      counts = jnp.asarray(num_windows(counts, size=size, stride=stride))
      length = num_windows(length, size=size, stride=stride)
    return real_frames(counts, length)

  def __call__(self, sound: Sound) -> Frames:
    """The frames of each row; one is real where all its samples are."""
    audio, count = as_float(sound.audio), jnp.asarray(sound.num_samples)
    short = max(self.receptive_field - audio.shape[1], 0)
    audio = jnp.pad(audio, ((0, 0), (0, short)))
    frames = Frames(audio[..., None], real_frames(count, audio.shape[1]))
    for i in range(self.num_layers):
      frames = getattr(self, f"conv{i}")(frames)
      norm, x = getattr(self, f"norm{i}"), frames.features
      if isinstance(norm, TimeNorm):
        x = norm(frames)
      elif norm is not None:
        x = norm(x)
      frames = Frames(activate(self.activation)(x), frames.valid)
    return frames


def _norm(kind: str, width: int, *, is_first: bool) -> TimeNorm | LayerNorm | None:
  if kind == "layer":
    return LayerNorm(embed_dim=width, eps=_EPS)
  return TimeNorm(num_features=width, eps=_EPS) if is_first else None

"""Sequences in time: real and padded frames, windows of them, and convolutions as products."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Num

from pretrainjax.models.layers.mlp import Initializer
from pretrainjax.ranges import NonNegativeInt, PositiveInt
from pretrainjax.types import AxisSize


class Frames(NamedTuple):
  """Features in time, with padding behind the real ones.

  Attributes:
    features: one row of C numbers a frame.
    valid: True for real frames; all that are come first.
  """

  features: Float[Array, "B T C"]
  valid: Bool[Array, "B T"]


def real_frames(counts: Int[Array, " B"], num_frames: AxisSize) -> Bool[Array, "B T"]:
  """True for the first `counts` frames of each row.

  >>> real_frames(jnp.array([2, 0]), 3).tolist()
  [[True, True, False], [False, False, False]]
  """
  return jnp.arange(num_frames)[None] < counts[:, None]


def silenced(frames: Frames) -> Float[Array, "B T C"]:
  """The features with zeros where there is padding, as they are behind a row that stands alone."""
  return jnp.where(frames.valid[..., None], frames.features, jnp.zeros_like(frames.features))


def moments(
  x: Float[Array, "B T C"], valid: Bool[Array, "B T"]
) -> tuple[Float[Array, "B 1 C"], Float[Array, "B 1 C"]]:
  """Mean and variance of each row's real frames; 0 and 0 of a row without any."""
  real = valid[..., None]
  count = jnp.maximum(jnp.sum(real, axis=1, keepdims=True), 1)
  mean = jnp.sum(jnp.where(real, x, 0.0), axis=1, keepdims=True) / count
  centred = jnp.where(real, x - mean, 0.0)
  return mean, jnp.sum(jnp.square(centred), axis=1, keepdims=True) / count


def num_windows(length: AxisSize | Int[Array, " B"], *, size: int, stride: int) -> AxisSize | Array:
  """The number of windows that lie within so many frames or samples, at least 0.

  Args:
    length: the frames that there are, one number or one a row.
    size: the frames of a window.
    stride: how far a window is from the one before.

  >>> num_windows(16_000, size=400, stride=160), num_windows(3, size=4, stride=1)
  (98, 0)
  """
  count = (length - size) // stride + 1
  return max(count, 0) if isinstance(count, int) else jnp.maximum(count, 0)


def windows(x: Num[Array, "B T C"], *, size: int, stride: int) -> Num[Array, "B N F"]:
  """Cuts a sequence into windows, each laid out as (frame, channel), F = size * C.

  By slices of what the windows have in common, which a CPU copies faster than it gathers.

  Args:
    x: at least `size` frames; those behind the last whole window are left out.
    size: the frames of a window.
    stride: how far a window is from the one before.

  >>> windows(jnp.arange(5.0).reshape(1, 5, 1), size=3, stride=2).tolist()
  [[[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]]
  """
  batch, length, channels = x.shape
  if length < size:
    raise ValueError(f"size={size}: found {length} frames, expected at least one window")
  part = math.gcd(size, stride)
  count, step = num_windows(length, size=size, stride=stride), stride // part
  used = (count - 1) * stride + size
  parts = x[:, :used].reshape(batch, used // part, part * channels)  # B T C -> B T/part part*C
  places = (slice(i, i + (count - 1) * step + 1, step) for i in range(size // part))
  return jnp.concatenate([parts[:, place] for place in places], axis=2)


def convolve(
  x: Float[Array, "B T C"], kernel: Float[Array, "size C O"], *, stride: int
) -> Float[Array, "B N O"]:
  """A convolution in time without padding, as products of matrices.

      y_n = sum_i x_(n stride + i) kernel_i

  A block of `stride` frames is one row of a matrix, so that windows, which overlap, are never
  written out: each block of the kernel is multiplied by itself, and the products are summed. On a
  CPU the gradients are several times faster so than those of XLA's convolutions.

  Args:
    x: at least as many frames as the kernel; those behind the last whole window are left out.
    kernel: one matrix a frame of the window.
    stride: how far a window is from the one before.

  >>> convolve(jnp.arange(5.0).reshape(1, 5, 1), jnp.ones((3, 1, 1)), stride=2).tolist()
  [[[3.0], [9.0]]]
  """
  (batch, length, channels), (size, _, out_dim) = x.shape, kernel.shape
  if length < size:
    raise ValueError(f"size={size}: found {length} frames, expected at least one window")
  count, num_blocks = num_windows(length, size=size, stride=stride), -(-size // stride)
  used = (count - 1 + num_blocks) * stride
  x = jnp.pad(x[:, :used], ((0, 0), (0, max(used - length, 0)), (0, 0)))
  blocks = x.reshape(batch, used // stride, stride * channels)
  products = []
  for i in range(num_blocks):
    matrix = kernel[i * stride : (i + 1) * stride].reshape(-1, out_dim)
    rows = blocks[:, i : i + count, : len(matrix)].reshape(batch * count, len(matrix))
    products.append(rows @ matrix)
  return sum(products[1:], start=products[0]).reshape(batch, count, out_dim)


class Convolution(nnx.Module):
  """A convolution in time, see `convolve`.

  Args:
    in_dim: channels of the input, C.
    out_dim: channels of the result.
    size: frames of the kernel.
    stride: how far a window is from the one before.
    padding: zeros on either side of the input.
    use_bias: whether there is a bias.
    kernel_init: initial values of the kernel, "size in_dim out_dim"; the bias starts at 0.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values.
  """

  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    out_dim: PositiveInt,
    size: PositiveInt,
    stride: PositiveInt = 1,
    padding: NonNegativeInt = 0,
    use_bias: bool = True,
    kernel_init: Initializer = nnx.initializers.lecun_normal(),
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    self.size, self.stride, self.padding, self.dtype = size, stride, padding, dtype
    self.kernel = nnx.Param(kernel_init(rngs.params(), (size, in_dim, out_dim), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((out_dim,), jnp.float32)) if use_bias else None

  def __call__(self, frames: Frames) -> Frames:
    """Convolves; a frame of the result is real where all frames that it stands on are, or padding.

    Padded frames of the input are zeros to it, so that no real frame depends on them.
    """
    x = silenced(frames).astype(self.dtype) if self.padding else frames.features
    x = jnp.pad(x.astype(self.dtype), ((0, 0), (self.padding, self.padding), (0, 0)))
    y = convolve(x, jnp.asarray(self.kernel[...], self.dtype), stride=self.stride)
    if self.bias is not None:
      y = y + self.bias[...].astype(self.dtype).reshape(1, 1, -1)
    return Frames(y, real_frames(self.counts(frames.valid), y.shape[1]))

  def counts(self, valid: Bool[Array, "B T"]) -> Int[Array, " B"]:
    """The number of real frames of the result, of each row: 0 of a row without any."""
    real = jnp.sum(valid, axis=1)
    found = num_windows(real + 2 * self.padding, size=self.size, stride=self.stride)
    return jnp.where(real > 0, found, 0)


def as_float(audio: Num[Array | np.ndarray, "B S"]) -> Float[Array, "B S"]:
  """Samples as floats in [-1, 1): int16 by 1 / 32768, floats as they are."""
  audio = jnp.asarray(audio)
  if jnp.issubdtype(audio.dtype, jnp.integer):
    return audio.astype(jnp.float32) / 32768
  return audio.astype(jnp.float32)

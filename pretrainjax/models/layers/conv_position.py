"""Positions by convolution: what surrounds a frame says where it stands."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.frames import Frames, silenced
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.mlp import activation as activate
from pretrainjax.models.layers.norm import BatchNorm
from pretrainjax.ranges import PositiveInt


class ConvPosition(nnx.Module):
  """A grouped convolution as wide as a second or two, whose result is added to the frames.

      activation(convolution(frames)),   kernel[k] = scale[k] direction[k] / |direction[k]|

  Args:
    embed_dim: width of frames, D.
    size: frames of the kernel; of an even number one more lies before a frame than behind.
    groups: channels are cut into so many groups; must divide embed_dim.
    norm: "weight" is the formula above; "batch" has a plain kernel, and a batch norm before it,
      over the real frames of a batch.
    activation: what follows the convolution.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values.

  Reference: wav2vec 2.0, arXiv 2006.11477, section 2, and its code; kernels start as there.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    size: PositiveInt,
    groups: PositiveInt,
    norm: Literal["weight", "batch"] = "weight",
    activation: Activation = "gelu",
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    if embed_dim % groups:
      raise ValueError(f"groups={groups}: expected a divisor of embed_dim={embed_dim}")
    self.groups, self.activation, self.dtype = groups, activation, dtype
    init = nnx.initializers.normal(2 * (size * embed_dim) ** -0.5)
    kernel = init(rngs.params(), (size, embed_dim // groups, embed_dim))
    is_weighted = norm == "weight"
    self.kernel = nnx.Param(kernel)
    self.scale = nnx.Param(_norms(kernel).reshape(-1)) if is_weighted else None
    self.norm = None if is_weighted else BatchNorm(num_features=embed_dim)
    self.bias = nnx.Param(jnp.zeros((embed_dim,), jnp.float32))

  def __call__(self, frames: Frames, *, deterministic: bool = True) -> Float[Array, "B T D"]:
    """What is added to each frame; padding is zeros to it.

    Args:
      frames: features and which of them are real.
      deterministic: whether a batch norm uses its running statistics.
    """
    x, kernel = frames.features, self.kernel[...]
    if self.norm is not None:
      x = self.norm(x, deterministic=deterministic, valid=frames.valid)
    if self.scale is not None:
      kernel = kernel * (self.scale[...].reshape(-1, 1, 1) / _norms(kernel))
    x = silenced(Frames(x, frames.valid)).astype(self.dtype)
    y = grouped_convolution(x, kernel.astype(self.dtype), groups=self.groups)
    return activate(self.activation)(y + self.bias[...].astype(self.dtype).reshape(1, 1, -1))


def _norms(kernel: Float[Array, "K I D"]) -> Float[Array, "K 1 1"]:
  return jnp.sqrt(jnp.sum(jnp.square(kernel), axis=(1, 2), keepdims=True))


def grouped_convolution(
  x: Float[Array, "B T D"],
  kernel: Float[Array, "K I D"],
  *,
  groups: int,
  by_transform: bool | None = None,
) -> Float[Array, "B T D"]:
  """A convolution with zeros around the input, K // 2 of them before it, of the same length.

  Args:
    x: the rows that are convolved.
    kernel: the weights, I = D / groups.
    groups: the number of groups of channels.
    by_transform: whether it is a product of Fourier transforms; None says so on a CPU, where
      XLA's gradient of the weights takes thirty times longer (docs/log.md).
  """
  size, length = kernel.shape[0], x.shape[1]
  by_transform = jax.default_backend() == "cpu" if by_transform is None else by_transform
  if not by_transform or x.dtype != jnp.float32:
    return jax.lax.conv_general_dilated(
      x,
      kernel,
      (1,),
      [(size // 2, (size - 1) // 2)],
      feature_group_count=groups,
      dimension_numbers=("NWC", "WIO", "NWC"),
    )
  points = -(-(length + size - 1) // 64) * 64  # so that the ends do not meet
  y = _correlation(x, kernel, groups, points)
  return jnp.moveaxis(jnp.roll(y, size // 2, axis=2)[..., :length], 2, 1)  # B D T -> B T D


def _correlation(x, kernel, groups: int, points: int) -> Float[Array, "B D points"]:
  """The circular correlation; products of complex numbers are parts of one product of real ones."""
  batch, _, width = x.shape
  group = width // groups

  def spectrum(signal: Float[Array, "R D L"]) -> Array:
    bins = jnp.fft.rfft(signal, points).reshape(signal.shape[0], groups, group, -1)
    return bins.transpose(3, 1, 0, 2)  # R groups D/groups F -> F groups R D/groups

  ours, weights = spectrum(jnp.moveaxis(x, 1, 2)), spectrum(jnp.moveaxis(kernel, 0, 2))
  both = jnp.concatenate([ours.real, ours.imag], axis=2)
  factors = jnp.concatenate([weights.real, -weights.imag], axis=3)
  product = both @ factors  # F groups 2B 2D/groups
  top, bottom = product[:, :, :batch], product[:, :, batch:]
  real = top[..., :group] - bottom[..., group:]
  imaginary = top[..., group:] + bottom[..., :group]
  bins = jax.lax.complex(real, imaginary).transpose(2, 1, 3, 0)  # F groups B . -> B groups . F
  return jnp.fft.irfft(bins.reshape(batch, width, -1), points)

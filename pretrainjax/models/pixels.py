"""From the bytes of the input pipeline to what networks take."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num


def check_statistics(mean: tuple[float, ...], std: tuple[float, ...], num_channels: int) -> None:
  """Raises ValueError unless there is one value, or one a channel, and each std is positive.

  Args:
    mean: the mean of pixels / 255.
    std: the standard deviation of pixels / 255.
    num_channels: channels C of the images.
  """
  for name, values in (("image_mean", mean), ("image_std", std)):
    if len(values) not in (1, num_channels):
      raise ValueError(
        f"{name}={values}: expected 1 value, or one for each of num_channels={num_channels}"
      )
  if min(std) <= 0:
    raise ValueError(f"image_std={std}: expected positive values")


def normalize_pixels(
  images: Num[Array | np.ndarray, "B *N C"] | Num[np.ndarray, "B *N C"],
  *,
  mean: tuple[float, ...],
  std: tuple[float, ...],
) -> Float[Array, "B *N C"]:
  """Turns uint8 pixels into (x / 255 - mean) / std, float32; floats pass as already normalised.

  Args:
    images: uint8 in 0..255, or float.
    mean: the mean of x / 255, one value or one a channel.
    std: the standard deviations of pixels / 255, one value or one a channel.

  Raises:
    ValueError: for another dtype, such as int32.
  """
  if jnp.issubdtype(images.dtype, jnp.floating):
    return jnp.asarray(images)
  if images.dtype != jnp.uint8:
    raise ValueError(f"images have dtype {images.dtype}: expected uint8, or float if normalised")
  shift, scale = (_per_channel(v, images.ndim) for v in (mean, std))
  return (jnp.asarray(images).astype(jnp.float32) / 255.0 - shift) / scale


def _per_channel(values: tuple[float, ...], rank: int) -> Any:
  return np.asarray(values, np.float32).reshape((1,) * (rank - 1) + (-1,))

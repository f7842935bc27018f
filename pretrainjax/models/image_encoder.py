"""What all encoders of images have in common: which array they read, and how pixels are scaled."""

from typing import ClassVar

import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.models.pixels import normalize_pixels
from pretrainjax.types import Batch


class ImageEncoder(nnx.Module):
  """Base of encoders of images.

  Attributes:
    embed_dim: width of tokens, D.
    image_shape: (H, W, C) of the images; None where any size will do.
    image_mean: mean of pixels / 255, one value or one a channel.
    image_std: standard deviation of pixels / 255, likewise.
    follows: what a config may leave open, see `config.follow`.
  """

  follows: ClassVar[Follows] = {
    "image_size": takes("data.transform.size"),
    "num_channels": equals("prepared.num_channels"),
    "image_mean": takes("prepared.image_mean"),
    "image_std": takes("prepared.image_std"),
  }
  embed_dim: int
  image_shape: tuple[int | None, int | None, int]
  image_mean: tuple[float, ...]
  image_std: tuple[float, ...]

  def inputs(self, batch: Batch) -> Num[Array | np.ndarray, "B *V H W C"]:
    """Takes the images out of a batch."""
    return batch["image"]

  def normalize(self, images: Num[Array | np.ndarray, "B *N C"]) -> Float[Array, "B *N C"]:
    """Turns uint8 pixels into (x / 255 - mean) / std; floats pass as already normalised."""
    return normalize_pixels(images, mean=self.image_mean, std=self.image_std)

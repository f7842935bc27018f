"""The perceptron of the classic Keras example on MNIST, as a supervised baseline."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Num

from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.pixels import check_statistics
from pretrainjax.ranges import Finite, PositiveFloat, PositiveInt, Rate, ranged
from pretrainjax.types import Encoded


class MLP(ImageEncoder):
  """A perceptron on flattened pixels: one hidden ReLU layer and dropout; a `Head` has the classes.

  Args:
    image_size: in pixels, one number for squares or (height, width).
    num_channels: channels C of the images.
    embed_dim: width of the hidden layer, which is the feature.
    dropout: rate on the feature, in [0, 1).
    image_mean: mean of pixels / 255, one value or one a channel; the example only divides by 255.
    image_std: standard deviation of pixels / 255, likewise.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial parameters.

  Reference: the Keras quickstart on MNIST, 784-512-10 with dropout 0.2.
  """

  @ranged
  def __init__(
    self,
    *,
    image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 28,
    num_channels: PositiveInt = 1,
    embed_dim: PositiveInt = 512,
    dropout: Rate = 0.2,
    image_mean: tuple[Finite, ...] = (0.0,),
    image_std: tuple[PositiveFloat, ...] = (1.0,),
    dtype: Literal["float32", "bfloat16"] = "float32",
    rngs: nnx.Rngs,
  ):
    check_statistics(image_mean, image_std, num_channels)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    self.image_shape = (*size, num_channels)
    self.embed_dim, self.dropout = embed_dim, dropout
    self.image_mean, self.image_std = image_mean, image_std
    init = nnx.initializers.xavier_uniform()
    num_pixels = math.prod(self.image_shape)
    self.hidden = nnx.Linear(num_pixels, embed_dim, dtype=dtype, kernel_init=init, rngs=rngs)

  def __call__(
    self,
    images: Num[Array | np.ndarray, "B H W C"],
    *,
    keep: Any = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes images; `tokens` is the one feature. `keep` must be None."""
    if keep is not None:
      raise ValueError("MLP sees whole images: keep must be None")
    if images.shape[1:] != self.image_shape:
      raise ValueError(f"images have shape {images.shape[1:]}: expected {self.image_shape}")
    x = self.normalize(images).reshape(images.shape[0], -1)
    x = jax.nn.relu(self.hidden(x))
    x = drop_values(x, rate=self.dropout, deterministic=deterministic, rngs=rngs)
    return Encoded(tokens=x[:, None], pooled=x, valid=jnp.ones((x.shape[0], 1), bool))

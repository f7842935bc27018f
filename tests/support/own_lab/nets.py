"""An encoder that derives from nothing of pretrainjax: it has what the protocol asks for."""

import math

import jax.numpy as jnp
from flax import nnx

from pretrainjax.types import Encoded


class Matrix(nnx.Module):
  """One matrix from pixels to the one token of an image."""

  def __init__(
    self, *, image_shape: tuple[int, ...] = (28, 28, 1), embed_dim: int = 16, rngs: nnx.Rngs
  ):
    self.embed_dim = embed_dim
    self.project = nnx.Linear(math.prod(image_shape), embed_dim, rngs=rngs)

  def inputs(self, batch):
    return batch["image"]

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None):
    pixels = jnp.asarray(inputs, jnp.float32).reshape(len(inputs), -1) / 255
    tokens = self.project(pixels)[:, None]  # B P -> B 1 D
    return Encoded(tokens=tokens, pooled=tokens[:, 0], valid=jnp.ones(tokens.shape[:2], bool))

"""An encoder of images and one of texts, whose features are compared."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.heads import Projector
from pretrainjax.ranges import Finite, ranged
from pretrainjax.types import Encoder


class Similarity(nnx.Module):
  """The logit of an image and a text that they belong together.

      exp(log_scale) * cosine + bias

  Args:
    log_scale: the first value of the logarithm of the learned scale: log(1 / 0.07) is 2.6592 in
      CLIP, log(10) in SigLIP.
    bias: the first value of the learned bias, -10 in SigLIP; None has none.
    rngs: unused, as both values start fixed; taken for symmetry.

  Reference: CLIP, arXiv 2103.00020, section 2.5; SigLIP, 2303.15343, section 3.2.
  """

  @ranged
  def __init__(
    self, *, log_scale: Finite = 2.6592, bias: Finite | None = None, rngs: nnx.Rngs | None = None
  ):
    del rngs
    self.log_scale = nnx.Param(jnp.float32(log_scale))
    self.bias = None if bias is None else nnx.Param(jnp.float32(bias))

  def __call__(self, cosines: Float[Array, "B K"]) -> Float[Array, "B K"]:
    """The logits of the cosines of images' and texts' features."""
    logits = jnp.exp(self.log_scale[...]) * cosines
    return logits if self.bias is None else logits + self.bias[...]


class TwoTowers(nnx.Module):
  """An encoder of images, one of texts, what projects their features, and how these compare.

  Args:
    image: the encoder of images.
    text: the encoder of texts.
    image_projector: projects what is pooled of images to width E; None leaves it as it is.
    text_projector: projects what is pooled of texts to the same width; None likewise.
    similarity: the scale of cosines, and perhaps a bias.

  Raises:
    ValueError: where features of images and texts have different widths.
  """

  def __init__(
    self,
    *,
    image: Encoder,
    text: Encoder,
    image_projector: Projector | None = None,
    text_projector: Projector | None = None,
    similarity: Similarity,
  ):
    widths = (_width(image, image_projector), _width(text, text_projector))
    if widths[0] != widths[1]:
      raise ValueError(f"features of images have width {widths[0]}, those of texts {widths[1]}")
    self.image, self.text, self.similarity = image, text, similarity
    self.image_projector, self.text_projector = image_projector, text_projector

  def embed_images(
    self, inputs: Any, *, deterministic: bool = True, rngs: nnx.Rngs | None = None
  ) -> Float[Array, "B E"]:
    """The projected features of images, of any length.

    Args:
      inputs: what the encoder of images reads.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call.
    """
    pooled = self.image(inputs, deterministic=deterministic, rngs=rngs).pooled
    return _projected(self.image_projector, pooled, deterministic)

  def embed_texts(
    self, inputs: Any, *, deterministic: bool = True, rngs: nnx.Rngs | None = None
  ) -> Float[Array, "B E"]:
    """The projected features of texts, of any length.

    Args:
      inputs: what the encoder of texts reads.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    pooled = self.text(inputs, deterministic=deterministic, rngs=rngs).pooled
    return _projected(self.text_projector, pooled, deterministic)


def _width(encoder: Encoder, projector: Projector | None) -> int:
  return encoder.embed_dim if projector is None else projector.out_dim


def _projected(
  projector: Projector | None, pooled: Float[Array, "B D"], deterministic: bool
) -> Float[Array, "B E"]:
  return pooled if projector is None else projector(pooled, deterministic=deterministic)

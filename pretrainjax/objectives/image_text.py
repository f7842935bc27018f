"""What objectives on images with their texts share: two towers and their features."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.errors import UserError
from pretrainjax.models.layers.norm import l2_normalize
from pretrainjax.models.two_towers import TwoTowers
from pretrainjax.objectives.base import WholeBatchObjective
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.types import Batch, Encoder


@dataclasses.dataclass(frozen=True)
class ImageTextObjective(WholeBatchObjective):
  """Base of objectives that compare images with texts: those that derive from it say `compare`.

  Args:
    image: makes the encoder of images.
    text: makes the encoder of texts.
    similarity: makes the `Similarity` of their features.
    image_projector: makes the `Projector` of images' features; None leaves them as they are.
    text_projector: makes that of texts' features.
  """

  image: Callable
  text: Callable
  similarity: Callable
  image_projector: Callable | None = None
  text_projector: Callable | None = None

  recipes: ClassVar[Mapping[str, str]] = {}
  inherited: ClassVar[tuple[str, ...]] = (
    "image",
    "text",
    "image_projector",
    "text_projector",
    "similarity",
  )

  def init(self, *, rngs: nnx.Rngs) -> TwoTowers:
    makers = {name: getattr(self, name) for name in self.inherited}
    return TwoTowers(**{n: make(rngs=rngs) for n, make in makers.items() if make is not None})

  def check(self, data: Any) -> None:
    check_vocabulary(self.text, data, argument="text")
    text = nnx.eval_shape(lambda: self.text(rngs=nnx.Rngs(0)))
    end_id, expected = getattr(text, "end_id", None), data.tokenizer.end_id
    if end_id is not None and end_id != expected:
      raise UserError(
        f"config.objective.text.end_id: found {end_id}, expected {expected}, the token that ends "
        "texts of config.data"
      )

  def represent(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> dict[str, Float[Array, "B *F"]]:
    """The projected features "image" and "text", both "B E"."""
    how = {"deterministic": False, "rngs": rngs}
    return {
      "image": module.embed_images(module.image.inputs(batch), **how),
      "text": module.embed_texts(module.text.inputs(batch), **how),
    }

  def encoder(self, module: nnx.Module) -> Encoder:
    return module.image

  def parts(self, module: nnx.Module) -> dict[str, nnx.Module]:
    found = {name: getattr(module, name) for name in self.inherited}
    return {name: network for name, network in found.items() if network is not None}


def logits_of(
  module: TwoTowers, *, images: Float[Array, "B E"], texts: Float[Array, "K E"]
) -> Float[Array, "B K"]:
  """The logits of each image with each text, in float32.

  Args:
    module: the towers, whose `similarity` scales them.
    images: projected features of images, of any length.
    texts: those of texts.
  """
  return module.similarity(jnp.einsum("be,ke->bk", l2_normalize(images), l2_normalize(texts)))

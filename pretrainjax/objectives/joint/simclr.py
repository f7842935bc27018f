"""SimCLR: find an image's other view among the views of the batch."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.augment.color import ColorAugment
from pretrainjax.config.follow import Follows, equals
from pretrainjax.losses.contrastive import compare_views
from pretrainjax.objectives.base import Towers, WholeBatchObjective, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.views import augment_views, check_views, on_views
from pretrainjax.ranges import PositiveFloat, check_ranges
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class SimCLR(WholeBatchObjective):
  """SimCLR, contrastive learning on two cropped views of each image, "B 2 H W C".

      z = projector(encoder(view).pooled) for all 2B views; the mean over views i of
      -log(exp(cos(z_i, z_other(i)) / temperature) / sum_(j != i) exp(cos(z_i, z_j) / temperature))

  Args:
    backbone: makes the encoder of images.
    projector: makes the network from pooled features to the space where views are compared.
    augment: colour augmentation on the device; None leaves the views as the host made them.
    temperature: what the cosines are divided by, above 0; 0.1 on ImageNet, 0.5 on CIFAR-10.

  Reference: arXiv 2002.05709, equation 1. Batch statistics are those of both views of all devices.

  >>> from pretrainjax.models.heads import Projector
  >>> from pretrainjax.models.vit import ViT
  >>> objective = SimCLR(backbone=ViT, projector=Projector, temperature=0.5)
  >>> found = {"pooled": jnp.ones((4, 2, 8)), "projected": jnp.ones((4, 2, 8))}
  >>> loss, metrics = objective.compare(nnx.Module(), found)
  >>> print(f"{loss:.2f}")  # log(7): nothing is told apart
  1.95
  """

  backbone: Callable
  projector: Callable
  augment: ColorAugment | None = None
  temperature: PositiveFloat = 0.1

  follows: ClassVar[Follows] = {"projector.in_dim": equals("objective.backbone.embed_dim")}

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, projector = self.backbone(rngs=rngs), self.projector(rngs=rngs)
    expect("objective.projector.in_dim", projector.linear0.in_features, encoder.embed_dim)
    return Towers(encoder=encoder, projector=projector)

  def represent(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> dict[str, Float[Array, "B *F"]]:
    del step
    images = module.encoder.inputs(batch)
    check_views(images, num_views=2)
    images = augment_views(images, self.augment, encoder=module.encoder, rngs=rngs)

    def encode(rows: Array) -> dict[str, Array]:
      pooled = module.encoder(rows, deterministic=False, rngs=rngs).pooled
      return {"pooled": pooled, "projected": module.projector(pooled, deterministic=False)}

    return on_views(encode, images)  # B 2 H W C -> B 2 D

  def compare(
    self, module: nnx.Module, found: dict[str, Float[Array, "B *F"]]
  ) -> tuple[Float[Array, ""], Metrics]:
    del module
    comparison = compare_views(found["projected"], temperature=self.temperature)
    loss = jnp.mean(comparison.loss)
    pooled, projected = (x.reshape(-1, x.shape[-1]) for x in (found["pooled"], found["projected"]))
    return loss, {
      "loss": loss,
      "contrastive_accuracy": jnp.mean(comparison.correct),
      "positive_similarity": jnp.mean(comparison.similarity),
      "feature_std": feature_std(pooled),
      "projection_std": feature_std(projected),
    }

"""SimCLR: two views of an image find each other among the views of the batch."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.augment import ColorAugment, standardize
from pretrainjax.errors import UserError
from pretrainjax.losses.contrastive import compare_views
from pretrainjax.objectives.base import Contrastive, Towers, expect
from pretrainjax.objectives.collapse import feature_std
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class SimCLR(Contrastive):
  """SimCLR on batches of two cropped views, images "B 2 H W C".

  Args:
    backbone: makes the encoder.
    projector: makes the network from pooled features to the space where views are compared.
    augment: colour augmentation on the device; None leaves the views as the host made them.
    temperature: divides the cosines, above 0; 0.1 on ImageNet, 0.5 on CIFAR-10.

  Reference: arXiv 2002.05709. Batch statistics are those of both views of all devices.
  """

  backbone: Callable
  projector: Callable
  augment: ColorAugment | None = None
  temperature: float = 0.1

  def __post_init__(self):
    if self.temperature <= 0:
      raise ValueError(f"temperature: found {self.temperature}, expected above 0")

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, projector = self.backbone(rngs=rngs), self.projector(rngs=rngs)
    expect("objective.projector.in_dim", projector.linear0.in_features, encoder.embed_dim)
    return Towers(encoder=encoder, projector=projector)

  def represent(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> dict[str, Float[Array, "B *F"]]:
    del step
    images = module.encoder.inputs(batch)
    if images.ndim != 5 or images.shape[1] != 2:
      raise UserError(f"config.data.views: found images {images.shape}, expected 2 views")
    batch_size, _, *shape = images.shape
    views = images.reshape(2 * batch_size, *shape)  # B 2 ... -> 2B ...: views stay neighbours
    encoder = module.encoder
    if self.augment is not None:
      views = self.augment(views, rngs.augment())
      views = standardize(views, mean=encoder.image_mean, std=encoder.image_std)

    # One call for both views: batch statistics are then of both.
    pooled = encoder(views, deterministic=False, rngs=rngs).pooled
    projected = module.projector(pooled, deterministic=False)
    found = {"pooled": pooled, "projected": projected}
    return {name: x.reshape(batch_size, 2, -1) for name, x in found.items()}  # 2B D -> B 2 D

  def contrast(
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

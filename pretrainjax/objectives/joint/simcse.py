"""SimCSE: find a text's other view among those of all texts; dropout is the augmentation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.errors import UserError
from pretrainjax.losses.contrastive import compare_pairs, l2_normalize, uniformity
from pretrainjax.objectives.base import Towers, WholeBatchObjective, expect
from pretrainjax.objectives.collapse import feature_std
from pretrainjax.objectives.views import on_views
from pretrainjax.objectives.vocabulary import check_vocabulary
from pretrainjax.types import Batch, Metrics, Text


@dataclasses.dataclass(frozen=True)
class SimCSE(WholeBatchObjective):
  """Sentence embeddings from pairs of texts "B V T".

  Two views are a text twice (unsupervised: the encoder's dropout differs) or two texts that
  mean the same (supervised); a third one is a text that does not, a hard negative.

  Args:
    backbone: makes the encoder; without supervision one that has dropout.
    projector: makes what is put on `pooled` in training only, such as a `Pooler`.
    temperature: divides the cosines, above 0.

  Reference: arXiv 2104.08821. As in its code, the first view is compared with all second ones
  and not the other way round; evaluation leaves the projector out (section 6.3).
  """

  backbone: Callable
  projector: Callable
  temperature: float = 0.05

  def __post_init__(self):
    if not self.temperature > 0:
      raise ValueError(f"temperature: found {self.temperature}, expected above 0")

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, projector = self.backbone(rngs=rngs), self.projector(rngs=rngs)
    expect("objective.projector.embed_dim", projector.dense.in_features, encoder.embed_dim)
    return Towers(encoder=encoder, projector=projector)

  def check(self, data: Any) -> None:
    check_vocabulary(self.backbone, data)

  def represent(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> dict[str, Float[Array, "B *F"]]:
    del step
    text = module.encoder.inputs(batch)
    shape = text.tokens.shape
    if len(shape) != 3 or shape[1] not in (2, 3):
      raise UserError(f"config.data.views: found texts {shape}, expected 2 or 3 views, B V T")

    def encode(rows: Text) -> dict[str, Array]:
      # Each row draws a dropout mask of its own, which is the augmentation.
      pooled = module.encoder(rows, deterministic=False, rngs=rngs).pooled
      return {"pooled": pooled, "projected": module.projector(pooled)}

    return on_views(encode, text)  # B V T -> B V D

  def compare(
    self, module: nnx.Module, found: dict[str, Float[Array, "B *F"]]
  ) -> tuple[Float[Array, ""], Metrics]:
    del module
    views = found["projected"]
    first, second = views[:, 0], views[:, 1]
    negatives = views[:, 2] if views.shape[1] == 3 else None
    compared = compare_pairs(first, second, temperature=self.temperature, negatives=negatives)
    loss = jnp.mean(compared.loss)
    similarity = jnp.mean(compared.similarity)
    return loss, {
      "loss": loss,
      "contrastive_accuracy": jnp.mean(compared.correct),
      "positive_similarity": similarity,
      "alignment": 2 - 2 * similarity,  # the squared distance of unit vectors
      "uniformity": uniformity(jax.lax.stop_gradient(l2_normalize(first))),
      "feature_std": feature_std(found["pooled"].reshape(-1, found["pooled"].shape[-1])),
    }

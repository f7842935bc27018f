"""SimCSE: find a text's other view among those of all texts; dropout is the augmentation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax import collectives
from pretrainjax.errors import UserError
from pretrainjax.losses.classification import accuracy, cross_entropy
from pretrainjax.losses.contrastive import compare_pairs, l2_normalize
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.collapse import feature_std
from pretrainjax.objectives.vocabulary import check_vocabulary
from pretrainjax.types import Batch, Metrics, Text, encoder_inputs


@dataclasses.dataclass(frozen=True)
class SimCSE(Objective):
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

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    text = encoder_inputs(batch)
    shape = text.tokens.shape
    if len(shape) != 3 or shape[1] not in (2, 3):
      raise UserError(f"config.data.views: found texts {shape}, expected 2 or 3 views, B V T")
    # One call for all views: each row draws a dropout mask of its own, which is the augmentation.
    rows = Text(*(None if x is None else x.reshape(-1, shape[2]) for x in text))  # B V T -> B*V T
    pooled = module.encoder(rows, deterministic=False, rngs=rngs).pooled
    views = module.projector(pooled).reshape(*shape[:2], -1)
    first, second = views[:, 0], views[:, 1]
    negatives = views[:, 2] if shape[1] == 3 else None
    logits, labels = compare_pairs(first, second, temperature=self.temperature, negatives=negatives)
    loss = jnp.mean(cross_entropy(logits, labels))
    alignment, uniformity = _geometry(l2_normalize(first), l2_normalize(second))
    return loss, {
      "loss": loss,
      "contrastive_accuracy": jnp.mean(accuracy(logits, labels)),
      "positive_similarity": 1 - alignment / 2,
      "alignment": alignment,
      "uniformity": uniformity,
      "feature_std": feature_std(pooled),
    }


def _geometry(
  first: Float[Array, "B D"], second: Float[Array, "B D"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """Alignment and uniformity of unit vectors, arXiv 2005.10242; the latter of all devices."""
  alignment = jnp.mean(jnp.sum(jnp.square(first - second), axis=1))
  everyone = collectives.gather(first)
  count = len(everyone)
  squared = 2 - 2 * jnp.einsum("bd,gd->bg", first, everyone)
  kernel = jnp.exp(-2 * jnp.maximum(squared, 0))
  # Each row's own place is exp(0) = 1.
  pairs = collectives.mean((jnp.sum(kernel) - len(first)) / (len(first) * (count - 1)))
  return alignment, jnp.log(pairs)

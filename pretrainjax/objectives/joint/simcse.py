"""SimCSE: find a text's other view among those of the batch; dropout is the augmentation."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.config.follow import Follows, equals
from pretrainjax.errors import UserError
from pretrainjax.losses.contrastive import compare_pairs, uniformity
from pretrainjax.models.layers.norm import l2_normalize
from pretrainjax.objectives.base import Towers, WholeBatchObjective, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.objectives.views import on_views
from pretrainjax.ranges import PositiveFloat, check_ranges
from pretrainjax.types import Batch, Metrics, Text


@dataclasses.dataclass(frozen=True)
class SimCSE(WholeBatchObjective):
  """SimCSE, contrastive learning of sentence embeddings from pairs of texts "B V T".

  Two views are a text twice (unsupervised: the encoder's dropout differs) or two texts that
  mean the same (supervised); a third one is a text that does not, a hard negative.

      z = projector(encoder(text).pooled) for each view; the mean over texts b of
      -log(exp(cos(z_b1, z_b2) / temperature)
        / sum_j (exp(cos(z_b1, z_j2) / temperature) + exp(cos(z_b1, z_j3) / temperature)))

  Without third views their terms are left out.

  Args:
    backbone: makes the encoder; without supervision one that has dropout.
    projector: makes what is put on `pooled` in training only, such as a `Pooler`.
    temperature: what the cosines are divided by, above 0.

  Reference: arXiv 2104.08821, equations 4 and 5. As in its code, the first view is compared with
  all second ones and not the other way round; evaluation leaves the projector out (section 6.3).

  >>> from pretrainjax.models.bert import BERT
  >>> from pretrainjax.models.heads import Pooler
  >>> objective = SimCSE(backbone=BERT, projector=Pooler, temperature=0.05)
  >>> found = {"pooled": jnp.ones((4, 2, 8)), "projected": jnp.ones((4, 2, 8))}
  >>> loss, metrics = objective.compare(nnx.Module(), found)
  >>> print(f"{loss:.2f}")  # log(4): nothing is told apart
  1.39
  """

  backbone: Callable
  projector: Callable
  temperature: PositiveFloat = 0.05

  follows: ClassVar[Follows] = {"projector.embed_dim": equals("objective.backbone.embed_dim")}

  def __post_init__(self):
    check_ranges(self)

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

"""CL4SRec: next-item prediction, and two views of a history that find each other."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.augment.items import two_views
from pretrainjax.losses.contrastive import compare_views
from pretrainjax.models.layers.embedding import pool_text
from pretrainjax.objectives.autoregressive.next_item import NextItem, next_of
from pretrainjax.ranges import Fraction, NonNegativeFloat, PositiveFloat
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class CL4SRec(NextItem):
  """Next-item prediction, see `NextItem`, and a contrastive loss of two views of each history.

      loss = next item's + weight * mean over views i of
        -log(exp(z_i . z_other(i) / temperature) / sum_(j != i) exp(z_i . z_j / temperature))

  z is what is compared with the items; both views of a history differ in how they were made.

  Args:
    criterion: the loss of an event, see `NextItem`.
    weight: of the contrastive loss.
    temperature: what dot products are divided by, above 0.
    crop: share of the events that a crop keeps, see `augment.items`.
    mask: share of the events that are hidden.
    reorder: share of the events that are shuffled.

  Reference: arXiv 2010.14395, equations 3 and 10; .1, 1 and .6, .3, .6 as in RecBole-DA. In the
  paper, next items are told from one negative each.

  >>> import functools
  >>> from pretrainjax.models.item_transformer import ItemTransformer
  >>> sizes = {"max_length": 8, "embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> backbone = functools.partial(ItemTransformer, num_items=20, **sizes)
  >>> objective = CL4SRec(backbone=backbone)
  >>> (objective.criterion, objective.weight, objective.temperature)
  ('softmax', 0.1, 1.0)
  """

  criterion: Literal["sampled_softmax", "softmax", "binary", "calibrated"] = "softmax"
  weight: NonNegativeFloat = 0.1
  temperature: PositiveFloat = 1.0
  crop: Fraction = 0.6
  mask: Fraction = 0.3
  reorder: Fraction = 0.6

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    loss, metrics = super().loss(module, batch, rngs=rngs, step=step)
    encoder, events = module.encoder, next_of(batch).events
    shares = {"crop": self.crop, "mask": self.mask, "reorder": self.reorder}
    views = two_views(rngs.augment(), events, mask_id=encoder.table.mask_id, **shares)
    x = encoder.sequence(views, deterministic=False, rngs=rngs)
    z = encoder.compared(pool_text(x, valid=views.items > 0, pool="last"))
    z = z.astype(jnp.float32).reshape(len(events.items), 2, -1)  # 2*B D -> B 2 D
    compared = compare_views(z, temperature=self.temperature, similarity="dot")
    contrast = jnp.mean(compared.loss)
    total = loss + self.weight * contrast
    return total, metrics | {
      "loss": total,
      "next_item_loss": loss,
      "contrastive_loss": contrast,
      "contrastive_accuracy": jnp.mean(compared.correct),
    }

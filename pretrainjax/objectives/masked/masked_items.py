"""Masked item prediction, BERT4Rec: hidden items of a history from those around them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from pretrainjax import collectives
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.masking import Chosen, choose_tokens
from pretrainjax.models.layers.embedding import pool_text
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.catalogue_check import check_catalogue
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.masked.corruption import fill, pick
from pretrainjax.ranges import Fraction, OpenFraction, PositiveInt, check_ranges
from pretrainjax.types import Batch, Events, Metrics


@dataclasses.dataclass(frozen=True)
class MaskedItems(Objective):
  """BERT4Rec on histories "B T": hidden items become [MASK] and are predicted from all others.

      loss = mean over hidden items of -log softmax(scores of all items)[item]

  Of some rows only the newest item is hidden, as it is where the next one is asked for.

  Args:
    backbone: makes the encoder, an `ItemTransformer` that is not causal.
    mask_rate: share of the items of a row that are hidden, in (0, 1).
    last_share: share of the rows of which the newest item alone is.
    chunk_size: most predictions whose scores are held at once; None holds all.

  Reference: arXiv 1904.06690, sections 3.6 and 3.7, where the share of items is .2 to .6 by the
  data. Its code repeats each history ten times with other masks and once with the newest hidden,
  fixed before training; ours draws anew in each step, and each row has its exact share.

  >>> import functools
  >>> from pretrainjax.models.item_transformer import ItemTransformer
  >>> sizes = {"max_length": 8, "embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> backbone = functools.partial(ItemTransformer, num_items=20, causal=False, **sizes)
  >>> objective = MaskedItems(backbone=backbone)
  >>> sorted(objective.parts(nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))))
  ['encoder']
  """

  backbone: Callable
  mask_rate: OpenFraction = 0.2
  last_share: Fraction = 0.1
  chunk_size: PositiveInt | None = 1024

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder = self.backbone(rngs=rngs)
    if encoder.causal:
      raise ValueError("backbone.causal: found True, expected False: items are hidden from both")
    return Towers(encoder=encoder)

  def check(self, data: Any) -> None:
    check_catalogue(self.backbone, data)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder = module.encoder
    items, times, user = (jnp.asarray(batch[name]) for name in ("items", "times", "user"))
    chosen = self.hidden(rngs.mask(), items > 0)
    labels = jnp.take_along_axis(items, chosen.positions, axis=1)
    put = jnp.where(chosen.valid, encoder.table.mask_id, labels)
    events = Events(fill(items, chosen.positions, put), times, user)
    x = encoder.sequence(events, deterministic=False, rngs=rngs)
    table, bias = encoder.table.whole()
    scores = vocabulary_loss(
      encoder.compared(pick(x, chosen.positions)),
      table,
      labels,
      weights=token_weights(chosen.valid),
      bias=bias,
      chunk_size=self.chunk_size,
    )
    last = pool_text(x, valid=items > 0, pool="last")
    return scores.loss, {
      "loss": scores.loss,
      "masked_accuracy": scores.correct,
      "feature_std": feature_std(last),
    }

  def hidden(self, key: Key[Array, ""], valid: Bool[Array, "B T"]) -> Chosen:
    """The places of a row that are hidden: a share of all, or the last alone."""
    place_key, row_key = (jax.random.fold_in(key, i) for i in range(2))
    chosen = choose_tokens(place_key, valid, mask_rate=self.mask_rate)
    keys = collectives.example_keys(row_key, len(valid))
    only_last = jax.vmap(jax.random.uniform)(keys)[:, None] < self.last_share
    slots = jnp.arange(chosen.positions.shape[1])[None]
    newest = jnp.maximum(jnp.sum(valid, axis=1, keepdims=True) - 1, 0)
    behind = (newest - slots) % valid.shape[1]  # distinct, the newest first
    return Chosen(
      jnp.where(only_last, behind, chosen.positions),
      jnp.where(only_last, (slots == 0) & jnp.any(valid, axis=1, keepdims=True), chosen.valid),
    )

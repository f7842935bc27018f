"""Retrieval by two towers: users find the item that came next among those of the batch."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from pretrainjax import collectives
from pretrainjax.config.follow import Follows, takes
from pretrainjax.data.item_features import feature_rows
from pretrainjax.data.item_table import ItemTable, UserTable
from pretrainjax.losses.in_batch import in_batch_softmax
from pretrainjax.losses.tokens import token_mean
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.catalogue_check import check_catalogue
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.item_negatives import Popularity
from pretrainjax.ranges import check_ranges
from pretrainjax.types import Batch, Events, Metrics


@dataclasses.dataclass(frozen=True)
class ItemRetrieval(Objective):
  """Two towers on histories "B T": an event of each row against those of all other rows.

      loss = mean over rows of -log softmax_j(user_i . item_j / temperature - log q_j)[i]

  In each step a row's event is drawn anew; the user is known by the events before it.

  Args:
    backbone: makes the encoder, `ItemTowers`.
    catalogue: the folder with the tables of items and users, whose counts and features are read
      before step 1.
    log_q: whether popular items, which are in batches more often, are corrected for.

  Reference: Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item
  recommendations" (10.1145/3298689.3346996). Odds are counted beforehand, not as a stream.

  >>> import functools
  >>> from pretrainjax.models.item_towers import ItemTowers
  >>> sizes = {"num_items": 20, "num_users": 5, "max_length": 8, "embed_dim": 8, "mlp_dim": 16}
  >>> objective = ItemRetrieval(backbone=functools.partial(ItemTowers, **sizes), catalogue="data")
  >>> sorted(objective.parts(nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))))
  ['encoder', 'popularity']
  """

  backbone: Callable
  catalogue: str
  log_q: bool = True

  follows: ClassVar[Follows] = {"catalogue": takes("prepared.catalogue")}

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder = self.backbone(rngs=rngs)
    return Towers(encoder=encoder, popularity=Popularity(num_items=encoder.num_items))

  def check(self, data: Any) -> None:
    check_catalogue(self.backbone, data)

  @property
  def first_batches(self) -> int:
    return 1

  def learn_first(self, module: nnx.Module, batches: Iterator[Batch], key: Key[Array, ""]) -> None:
    del batches, key  # all is in the tables already
    folder, encoder = Path(self.catalogue), module.encoder
    items = ItemTable.load(folder)
    module.popularity.learn(items.counts)
    if encoder.item_side is not None:
      _fill(encoder.item_side.known, feature_rows(items.features).rows)
    if encoder.user_side is not None:
      _fill(encoder.user_side.known, feature_rows(UserTable.load(folder).features).rows)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder = module.encoder
    events, target, counted = asked_of(rngs.target(), batch)
    encoded = encoder(events, deterministic=False, rngs=rngs)
    vectors = encoder.item_vectors(target, deterministic=False, rngs=rngs)
    log_q = module.popularity.log_q(target) if self.log_q else None
    found = in_batch_softmax(encoder.queries(encoded), vectors, target, log_q=log_q)
    loss = token_mean(found.loss, counted)
    return loss, {
      "loss": loss,
      "in_batch_accuracy": token_mean(found.correct, counted),
      "feature_std": feature_std(encoded.pooled),
    }


def asked_of(
  key: Key[Array, ""], batch: Batch
) -> tuple[Events, Int[Array, " B"], Bool[Array, " B"]]:
  """An event of each row, the events before it, and whether there are any.

  Args:
    key: the step's key, equal on all devices.
    batch: rows of histories.
  """
  items, times = (jnp.asarray(batch[name]) for name in ("items", "times"))
  count = jnp.sum(items > 0, axis=1)
  noise = jax.vmap(jax.random.uniform)(collectives.example_keys(key, len(items)))
  place = 1 + jnp.floor(noise * jnp.maximum(count - 1, 1)).astype(jnp.int32)
  place = jnp.minimum(place, items.shape[1] - 1)
  target = jnp.take_along_axis(items, place[:, None], axis=1)[:, 0]
  is_before = jnp.arange(items.shape[1])[None] < place[:, None]
  read = (jnp.where(is_before, x, 0)[:, :-1] for x in (items, times))
  return Events(*read, jnp.asarray(batch["user"])), target, count > 1


def _fill(variable: nnx.Variable, rows: Int[np.ndarray, "N F"]) -> None:
  missing = len(variable) - len(rows)
  variable[...] = jnp.asarray(np.pad(rows, ((0, missing), (0, 0))))

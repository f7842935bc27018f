"""Which items stand against the one that came next: drawn for each row by rules of one kind."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Int64, Key

from pretrainjax import collectives
from pretrainjax.models.layers.item_table import whole_rows
from pretrainjax.ranges import PositiveInt

# "mixed": some of the batch, the others of the catalogue (arXiv 2308.06212 has shares of both).
Kind = Literal["uniform", "popularity", "in_batch", "mixed"]
# Sums of counts stay below it.
_MOST = 2**30


class Known(nnx.Variable):
  """Counts out of the table of items that nothing trains."""


class Popularity(nnx.Module):
  """How often each item was in training: what draws by popularity and log-Q need.

  Each item counts one more, so that none has no odds.

  Args:
    num_items: items of the catalogue.
    rngs: unused, as all starts at 1; taken for symmetry.
  """

  def __init__(self, *, num_items: PositiveInt, rngs: nnx.Rngs | None = None):
    del rngs
    self.num_items = num_items
    self.totals = Known(jnp.arange(whole_rows(num_items + 1), dtype=jnp.int32))

  def learn(self, counts: Int64[np.ndarray, " V"]) -> None:
    """Takes the counts of items by number, the first of which is padding's."""
    counts = np.asarray(counts[1:], np.float64) + 1
    scale = min(1.0, _MOST / counts.sum() / 2)
    totals = np.cumsum(np.maximum(np.round(counts * scale), 1)).astype(np.int32)
    totals = np.concatenate([[0], totals])
    self.totals[...] = np.pad(totals, (0, len(self.totals) - len(totals)), mode="edge")

  def draw(self, key: Key[Array, ""], num: int) -> Int[Array, " K"]:
    """Draws items with replacement by their odds."""
    place = jax.random.randint(key, (num,), 0, self.totals[-1])
    return jnp.searchsorted(self.totals[...], place, side="right").astype(jnp.int32)

  def log_q(self, items: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """The logarithm of the odds of items."""
    totals = self.totals[...]
    count = totals[items] - totals[jnp.maximum(items - 1, 0)]
    return jnp.log(jnp.maximum(count, 1).astype(jnp.float32) / totals[-1].astype(jnp.float32))


class Negatives(NamedTuple):
  """Drawn items of each row.

  Attributes:
    items: the numbers of the items.
    log_q: the logarithm of the odds by which each was drawn; None where they are not known.
  """

  items: Int[Array, "B K"]
  log_q: Float[Array, "B K"] | None


def draw_negatives(
  key: Key[Array, ""],
  targets: Int[Array, "B T"],
  counted: Bool[Array, "B T"],
  *,
  kind: Kind,
  num_negatives: int,
  num_items: int,
  popularity: Popularity | None,
  in_batch_share: float = 0.5,
) -> Negatives:
  """Draws each row's negatives, with replacement, the same on any number of devices.

  Args:
    key: the step's key for negatives, equal on all devices.
    targets: the items that came next.
    counted: True for those that are real.
    kind: "uniform" over the catalogue, by "popularity", "in_batch" from the targets of the whole
      batch, which follow popularity too, or "mixed" of both: in_batch_share, the others uniform.
    num_negatives: how many of a row, K.
    num_items: items of the catalogue.
    popularity: the odds of items, for draws by it and for odds of other kinds than "uniform".
    in_batch_share: the share of "mixed" draws that are of the batch.

  Reference: mixed negatives and their odds, Yang et al. 2020 (10.1145/3366424.3386195).
  """
  share = {"in_batch": 1.0, "mixed": in_batch_share}.get(kind, 0.0)
  count = round(num_negatives * share)
  keys = collectives.example_keys(key, len(targets))

  def of_catalogue(key: Key[Array, ""]) -> Int[Array, " K"]:
    if kind == "popularity":
      assert popularity is not None
      return popularity.draw(key, num_negatives)
    return jax.random.randint(key, (num_negatives,), 1, num_items + 1, jnp.int32)

  items = jax.vmap(of_catalogue)(keys)
  if count:
    pool, size = _batch_pool(targets, counted)
    places = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(k, 1), (count,), 0, size))
    items = jnp.concatenate([pool[places(keys)], items[:, count:]], axis=1)
  if kind == "uniform":
    return Negatives(items, jnp.full(items.shape, -math.log(num_items), jnp.float32))
  return Negatives(items, _log_q(items, popularity, kind=kind, share=count / num_negatives))


def _log_q(
  items: Int[Array, "B K"], popularity: Popularity | None, *, kind: Kind, share: float
) -> Float[Array, "B K"] | None:
  """The logarithm of the odds of draws, of which a share is of the batch."""
  if popularity is None:
    return None
  popular = popularity.log_q(items)
  if kind == "popularity" or share == 1:
    return popular
  uniform = jnp.full(items.shape, -math.log(popularity.num_items), jnp.float32)
  if share == 0:
    return uniform
  return jnp.logaddexp(popular + math.log(share), uniform + math.log1p(-share))


def _batch_pool(
  targets: Int[Array, "B T"], counted: Bool[Array, "B T"]
) -> tuple[Int[Array, " M"], Int[Array, ""]]:
  """The real targets of the batch of all devices, which come first, and how many there are."""
  targets, counted = collectives.gather(targets), collectives.gather(counted)
  flat, is_real = targets.reshape(-1), counted.reshape(-1)
  order = jnp.argsort(~is_real, stable=True)
  return flat[order], jnp.maximum(jnp.sum(is_real), 1)

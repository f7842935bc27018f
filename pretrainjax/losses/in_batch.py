"""The softmax of each user's item over the items of the batch, corrected for their odds."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pretrainjax import collectives


class InBatch(NamedTuple):
  """The scores of each user's item among those of the batch.

  Attributes:
    loss: cross-entropy in nats, float32.
    correct: 1 where it has the highest score, shared where others have it too; without gradient.
  """

  loss: Float[Array, " B"]
  correct: Float[Array, " B"]


def in_batch_softmax(
  queries: Float[Array, "B D"],
  keys: Float[Array, "B D"],
  items: Int[Array, " B"],
  *,
  log_q: Float[Array, " B"] | None = None,
) -> InBatch:
  """Scores each row's query against the keys of all rows, of which equal items count once.

      logit_ij = query_i . key_j - log q_j
      loss_i = logsumexp_j(logit_ij) - logit_ii

  Args:
    queries: what is compared, scaled as the logits are to be.
    keys: the vectors of the items; row b is that of query b.
    items: the numbers of the items; another row with the same item, or with 0, is no negative.
    log_q: the logarithm of the odds of each item to be in a batch; None corrects nothing.

  Reference: Yi et al. 2019 (10.1145/3298689.3346996), equations 4 and 5.

  >>> found = in_batch_softmax(jnp.zeros((3, 2)), jnp.zeros((3, 2)), jnp.array([7, 8, 8]))
  >>> print(found.loss.round(4))  # log(3), and log(2) where another row has the same item
  [1.0986 0.6931 0.6931]
  """

  def here(queries, keys, items, log_q) -> InBatch:
    queries, keys = queries.astype(jnp.float32), keys.astype(jnp.float32)
    all_keys, all_items, all_odds = (collectives.gather(x) for x in (keys, items, log_q))
    logits = jnp.einsum("bd,cd->bc", queries, all_keys) - all_odds[None]
    own = collectives.row_offset(len(queries)) + jnp.arange(len(queries))
    is_own = jnp.arange(len(all_keys))[None] == own[:, None]
    is_none = (items[:, None] == all_items[None]) | (all_items == 0)[None]
    logits = jnp.where(is_none & ~is_own, -jnp.inf, logits)
    positive = jnp.sum(jnp.where(is_own, logits, 0), axis=1)
    highest = jax.lax.stop_gradient(jnp.max(logits, axis=1))
    ties = jnp.sum((logits >= highest[:, None]).astype(jnp.float32), axis=1)
    correct = (jax.lax.stop_gradient(positive) >= highest).astype(jnp.float32) / ties
    return InBatch(jax.nn.logsumexp(logits, axis=1) - positive, correct)

  odds = jnp.zeros(len(items), jnp.float32) if log_q is None else log_q
  return collectives.by_rows(here, queries, keys, items, odds)

"""Losses that tell an example's other view from the views of other examples.

Each device scores its own anchors against everybody's candidates, so that the mean over devices
is the loss of the whole batch. What is held at once does not grow with the number of devices, see
`losses/crowd.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pretrainjax import collectives
from pretrainjax.losses.crowd import stand


class Comparison(NamedTuple):
  """What became of each anchor "A".

  Attributes:
    loss: cross-entropy of finding the positive among the candidates, in nats.
    correct: 1 where the positive is nearest, shared where others are as near; without gradient.
    similarity: cosine of anchor and positive.
  """

  loss: Float[Array, " A"]
  correct: Float[Array, " A"]
  similarity: Float[Array, " A"]


def compare_views(
  views: Float[Array, "B 2 D"], *, temperature: float | Float[Array, ""]
) -> Comparison:
  """Scores both views of each example against all views of all examples but themselves.

  Args:
    views: projections; they are normalised here.
    temperature: divides the cosines, above 0.

  Returns:
    Two anchors an example, neighbours: rows 2b and 2b + 1.
  """

  def here(views, temperature) -> Comparison:
    batch_size, _, embed_dim = views.shape
    anchors = l2_normalize(views).reshape(2 * batch_size, embed_dim)
    own = collectives.row_offset(2 * batch_size) + jnp.arange(2 * batch_size)
    other = anchors.reshape(views.shape)[:, ::-1].reshape(anchors.shape)
    similarity = jnp.einsum("ad,ad->a", anchors, other)
    standing = stand(anchors / temperature, anchors, labels=own ^ 1, excluded=own)
    loss = standing.log_total - similarity / temperature
    return Comparison(loss, standing.correct, similarity)

  return collectives.by_rows(here, views, whole=(jnp.asarray(temperature, jnp.float32),))


def compare_pairs(
  queries: Float[Array, "B D"],
  keys: Float[Array, "B D"],
  *,
  temperature: float | Float[Array, ""],
  negatives: Float[Array, "B D"] | None = None,
) -> Comparison:
  """Scores each query against all keys; the key of the same row is its positive.

  Args:
    queries: one side, normalised here.
    keys: the other side, normalised here.
    temperature: divides the cosines, above 0.
    negatives: further candidates, of all rows for each query, which are never positives.
  """

  def here(queries, keys, negatives, temperature) -> Comparison:
    count = len(queries)
    queries, keys = l2_normalize(queries), l2_normalize(keys)
    candidates = keys
    if negatives is not None:
      candidates = jnp.concatenate([keys, l2_normalize(negatives)])
    own = collectives.row_offset(len(candidates)) + jnp.arange(count)
    similarity = jnp.einsum("bd,bd->b", queries, keys)
    nobody = jnp.full_like(own, -1)
    standing = stand(queries / temperature, candidates, labels=own, excluded=nobody)
    return Comparison(standing.log_total - similarity / temperature, standing.correct, similarity)

  whole = (jnp.asarray(temperature, jnp.float32),)
  return collectives.by_rows(here, queries, keys, negatives, whole=whole)


def uniformity(features: Float[Array, "B D"]) -> Float[Array, ""]:
  """The log of the mean of exp(-2 |x - y|^2) over all pairs of the batch, lower is more even.

  Args:
    features: unit vectors.

  Reference: arXiv 2005.10242, equation 3.
  """

  def here(features) -> Float[Array, " B"]:
    own = collectives.row_offset(len(features)) + jnp.arange(len(features))
    # |x - y|^2 = 2 - 2 x.y of unit vectors.
    return stand(4 * features, features, labels=own, excluded=own).log_total - 4

  log_totals = collectives.by_rows(here, features)
  count = collectives.num_shards() * len(features)
  return jnp.log(collectives.mean(jnp.mean(jnp.exp(log_totals))) / (count - 1))


def nt_xent(views: Float[Array, "B 2 D"], *, temperature: float) -> Float[Array, " B"]:
  """Normalised temperature-scaled cross-entropy of two views against the rest of the batch.

  Args:
    views: projections of two views, any float dtype and scale.
    temperature: above 0.

  Returns:
    One value an example, the mean of its two anchors; log(2G - 1) if nothing is told apart.

  Reference: SimCLR, arXiv 2002.05709, equation 1.

  >>> print(nt_xent(jnp.ones((4, 2, 8)), temperature=0.5).round(4))  # log(7)
  [1.9459 1.9459 1.9459 1.9459]
  """
  return jnp.mean(compare_views(views, temperature=temperature).loss.reshape(-1, 2), axis=1)


def info_nce(
  queries: Float[Array, "B D"], keys: Float[Array, "B D"], *, temperature: float
) -> Float[Array, " B"]:
  """Cross-entropy of finding each query's key among all keys; one direction.

  Args:
    queries: any float dtype and scale.
    keys: likewise; row b is the positive of query b.
    temperature: above 0.

  Returns:
    One value a query; log(G) if nothing is told apart.

  Reference: CPC, arXiv 1807.03748, equation 4, with cosines as in MoCo, arXiv 1911.05722.

  >>> print(info_nce(jnp.ones((4, 8)), jnp.ones((4, 8)), temperature=0.1).round(4))  # log(4)
  [1.3863 1.3863 1.3863 1.3863]
  """
  return compare_pairs(queries, keys, temperature=temperature).loss


def l2_normalize(x: Float[Array, "... D"], *, eps: float = 1e-12) -> Float[Array, "... D"]:
  """Scales the last axis to length 1, in float32.

  Args:
    x: any float dtype.
    eps: smallest squared length to divide by; keeps the gradient at 0 finite.

  >>> print(l2_normalize(jnp.array([0.0, 2.0])))
  [0. 1.]
  """
  x = x.astype(jnp.float32)
  return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), eps))

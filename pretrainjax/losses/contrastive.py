"""Contrastive losses: find an example's other view among the views of other examples.

Each device scores its own anchors against everybody's candidates, so that the mean over devices
is the loss of the whole batch. What is held at once does not grow with the number of devices, see
`losses/ring.py`.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pretrainjax import collectives
from pretrainjax.losses.ring import score_candidates
from pretrainjax.models.layers.norm import l2_normalize


class Comparison(NamedTuple):
  """The scores of each anchor "A" for its positive and against the candidates.

  Attributes:
    loss: cross-entropy of finding the positive among the candidates, in nats.
    correct: 1 where the positive is nearest, shared where others are as near; without gradient.
    similarity: cosine of anchor and positive, or their dot product.
  """

  loss: Float[Array, " A"]
  correct: Float[Array, " A"]
  similarity: Float[Array, " A"]


def compare_views(
  views: Float[Array, "B 2 D"],
  *,
  temperature: float | Float[Array, ""],
  similarity: Literal["cosine", "dot"] = "cosine",
) -> Comparison:
  """Scores both views of each example against all views of all examples but themselves.

      loss_i = log sum_(j != i) exp(cos(i, j) / temperature) - cos(i, other view of i) / temperature

  Args:
    views: projections of two views, any scale; for cosines they are normalised here.
    temperature: what the cosines are divided by, above 0.
    similarity: "dot" takes dot products in place of cosines.

  Returns:
    Two anchors an example, neighbours: rows 2b and 2b + 1.

  >>> compared = compare_views(jnp.ones((2, 2, 8)), temperature=0.5)
  >>> print(compared.loss.round(4), compared.correct.round(4))  # log(3), one in three
  [1.0986 1.0986 1.0986 1.0986] [0.3333 0.3333 0.3333 0.3333]
  """

  def here(views, temperature) -> Comparison:
    batch_size, _, embed_dim = views.shape
    anchors = l2_normalize(views) if similarity == "cosine" else views.astype(jnp.float32)
    anchors = anchors.reshape(2 * batch_size, embed_dim)
    own = collectives.row_offset(2 * batch_size) + jnp.arange(2 * batch_size)
    other = anchors.reshape(views.shape)[:, ::-1].reshape(anchors.shape)
    alike = jnp.einsum("ad,ad->a", anchors, other)
    scores = score_candidates(anchors / temperature, anchors, labels=own ^ 1, excluded=own)
    return Comparison(scores.log_total - alike / temperature, scores.correct, alike)

  return collectives.by_rows(here, views, whole=(jnp.asarray(temperature, jnp.float32),))


def compare_pairs(
  queries: Float[Array, "B D"],
  keys: Float[Array, "B D"],
  *,
  temperature: float | Float[Array, ""],
  negatives: Float[Array, "B D"] | None = None,
) -> Comparison:
  """Scores each query against all keys; the key of the same row is its positive.

      loss_i = log sum_j exp(cos(query_i, key_j) / temperature) - cos(query_i, key_i) / temperature

  Args:
    queries: features of one side, normalised here.
    keys: features of the other side, normalised here.
    temperature: what the cosines are divided by, above 0.
    negatives: further candidates, those of all rows for each query, which are never positives;
      None adds none.

  >>> compared = compare_pairs(jnp.eye(2), jnp.eye(2), temperature=1.0)
  >>> print(f"{compared.loss[0]:.4f}", compared.correct)  # log(e + 1) - 1
  0.3133 [1. 1.]
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
    scores = score_candidates(queries / temperature, candidates, labels=own, excluded=nobody)
    return Comparison(scores.log_total - similarity / temperature, scores.correct, similarity)

  whole = (jnp.asarray(temperature, jnp.float32),)
  return collectives.by_rows(here, queries, keys, negatives, whole=whole)


def uniformity(features: Float[Array, "B D"]) -> Float[Array, ""]:
  """The uniformity of features on the sphere; lower is more even, 0 is a single point.

      log of the mean over pairs x != y of exp(-2 |x - y|^2)

  Args:
    features: unit vectors, one an example, two examples at least.

  Reference: arXiv 2005.10242, equation 3.

  >>> print(uniformity(jnp.eye(2)).round(4))  # one pair, of squared distance 2
  -4.0
  """

  def here(features) -> Float[Array, " B"]:
    own = collectives.row_offset(len(features)) + jnp.arange(len(features))
    # |x - y|^2 = 2 - 2 x.y of unit vectors.
    return score_candidates(4 * features, features, labels=own, excluded=own).log_total - 4

  log_totals = collectives.by_rows(here, features)
  count = collectives.num_shards() * len(features)
  return jnp.log(collectives.mean(jnp.mean(jnp.exp(log_totals))) / (count - 1))


def nt_xent(views: Float[Array, "B 2 D"], *, temperature: float) -> Float[Array, " B"]:
  """Normalised temperature-scaled cross-entropy of two views against the rest of the batch.

      loss_b = mean over both views i of b of
        -log(exp(cos(i, other(i)) / temperature) / sum_(j != i) exp(cos(i, j) / temperature))

  Args:
    views: projections of two views, any float dtype and scale.
    temperature: what the cosines are divided by, above 0.

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

      loss_b = -log(exp(cos(q_b, k_b) / temperature) / sum_j exp(cos(q_b, k_j) / temperature))

  Args:
    queries: features of one side, any float dtype and scale.
    keys: features of the other side, likewise; row b is the positive of query b.
    temperature: what the cosines are divided by, above 0.

  Returns:
    One value a query; log(G) if nothing is told apart.

  Reference: CPC, arXiv 1807.03748, equation 4, with cosines as in MoCo, arXiv 1911.05722.

  >>> print(info_nce(jnp.ones((4, 8)), jnp.ones((4, 8)), temperature=0.1).round(4))  # log(4)
  [1.3863 1.3863 1.3863 1.3863]
  """
  return compare_pairs(queries, keys, temperature=temperature).loss

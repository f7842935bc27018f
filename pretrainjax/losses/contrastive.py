"""Losses that tell an example's other view from the views of other examples.

A file's letters: A anchors (rows of this device), G candidates (rows of all devices).
Each device scores its own anchors against everybody's candidates, so that the mean over devices
is the loss of the whole batch. The A x G matrix of logits exists in memory: 64 MiB for
4096 x 4096 float32, which is what a batch of 2048 on one device costs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pretrainjax import collectives
from pretrainjax.losses.classification import cross_entropy


class Comparison(NamedTuple):
  """Anchors scored against candidates.

  Attributes:
    logits: cosine / temperature, "A G"; -inf where a candidate is the anchor itself.
    labels: the index of each anchor's positive among the candidates, "A".
  """

  logits: Float[Array, "A G"]
  labels: Int[Array, " A"]


def compare_views(views: Float[Array, "B 2 D"], *, temperature: float) -> Comparison:
  """Scores both views of each example against all views of all examples but themselves.

  The views of one example stay neighbours (rows 2b and 2b + 1), so that a batch that is split
  over devices needs no reshuffle.

  Args:
    views: projections; they are normalised here.
    temperature: divides the cosines, above 0.
  """
  batch_size, _, embed_dim = views.shape
  anchors = l2_normalize(views).reshape(2 * batch_size, embed_dim)
  candidates = collectives.gather(anchors)
  own = collectives.row_offset(2 * batch_size) + jnp.arange(2 * batch_size)
  logits = jnp.einsum("ad,gd->ag", anchors, candidates) / temperature
  is_self = own[:, None] == jnp.arange(candidates.shape[0])[None, :]
  return Comparison(logits=jnp.where(is_self, -jnp.inf, logits), labels=own ^ 1)


def compare_pairs(
  queries: Float[Array, "B D"],
  keys: Float[Array, "B D"],
  *,
  temperature: float,
  negatives: Float[Array, "B D"] | None = None,
) -> Comparison:
  """Scores each query against all keys; the key of the same row is its positive.

  Args:
    queries: one side, normalised here.
    keys: the other side, normalised here.
    temperature: divides the cosines, above 0.
    negatives: further candidates, of all rows for each query, which are never positives.
  """
  candidates = collectives.gather(l2_normalize(keys))
  if negatives is not None:
    candidates = jnp.concatenate([candidates, collectives.gather(l2_normalize(negatives))])
  labels = collectives.row_offset(len(queries)) + jnp.arange(len(queries))
  logits = jnp.einsum("ad,gd->ag", l2_normalize(queries), candidates) / temperature
  return Comparison(logits=logits, labels=labels)


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
  per_anchor = cross_entropy(*compare_views(views, temperature=temperature))
  return jnp.mean(per_anchor.reshape(-1, 2), axis=1)


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
  return cross_entropy(*compare_pairs(queries, keys, temperature=temperature))


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

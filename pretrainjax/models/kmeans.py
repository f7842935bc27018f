"""K-means over a stream of rows: centroids that are learnt a chunk at a time."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

# Rows whose distances to all centroids are held at once.
_ROWS = 4096


class Clusters(NamedTuple):
  """What is known of the rows so far.

  Attributes:
    centroids: the mean of the rows that each cluster was given.
    counts: how many rows that were.
  """

  centroids: Float[Array, "V F"]
  counts: Float[Array, " V"]


def nearest(rows: Float[Array, "S F"], centroids: Float[Array, "V F"]) -> Int[Array, " S"]:
  """The number of the centroid nearest to each row, by squared distance.

  Args:
    rows: any number of rows.
    centroids: the centroids that they are compared with.

  >>> nearest(jnp.array([[0.9], [5.0]]), jnp.array([[0.0], [1.0], [9.0]])).tolist()
  [1, 1]
  """
  # |x - c|^2 without |x|^2, which is the same for all centroids.
  half = jnp.sum(jnp.square(centroids), axis=-1) / 2
  return jnp.argmin(half[None] - rows @ centroids.T, axis=-1)


def fit(
  chunks: Iterable[Float[np.ndarray, "S F"]],
  key: Key[Array, ""],
  *,
  num_codes: int,
  tries: int = 10,
  passes: int = 10,
) -> Clusters:
  """Clusters a stream of chunks; the first begins them, each later one moves them.

  Centroids start by k-means++ on the first chunk, on which Lloyd's algorithm then settles them; of
  several tries the one with the smallest sum of squared distances is taken. Each chunk moves a
  centroid to the mean of all rows that it was ever given:

      c_v = c_v + sum_(rows of v) (x - c_v) / n_v,   n_v all rows of v so far

  Args:
    chunks: rows; the first chunk holds at least `num_codes` distinct ones. Gone through once.
    key: the key of the draws of k-means++.
    num_codes: the number of clusters, V.
    tries: the number of times that k-means++ begins anew.
    passes: the passes of Lloyd's algorithm over the first chunk.

  Raises:
    ValueError: for fewer rows in the first chunk than clusters, or none at all.

  Reference: k-means++, Arthur and Vassilvitskii 2007; chunks as in Sculley's web-scale k-means 2010
  (neither is on arXiv), whose steps of single rows are taken together here.
  """
  found = None
  for chunk in chunks:
    rows = jnp.asarray(chunk, jnp.float32)
    if found is None:
      if len(rows) < num_codes:
        raise ValueError(f"num_codes: found {num_codes}, expected at most the {len(rows)} rows")
      keys = jax.random.split(key, tries)
      begun = [_settled(rows, one, num_codes=num_codes, passes=passes) for one in keys]
      centroids, _ = min(begun, key=lambda pair: float(pair[1]))
      found = Clusters(centroids, jnp.zeros(num_codes))
    found = moved(found, rows)
  if found is None:
    raise ValueError("chunks: found none, expected rows to cluster")
  return found


@functools.partial(jax.jit, static_argnames=("num_codes", "passes"))
def _settled(rows, key, *, num_codes: int, passes: int):
  """Centroids of one try, "V F", and the rows' sum of squared distances to them."""

  def settle(_, centroids):
    return moved(Clusters(centroids, jnp.zeros(num_codes)), rows).centroids

  centroids = jax.lax.fori_loop(0, passes, settle, plus_plus(rows, key, num_codes=num_codes))
  return centroids, jnp.sum(jnp.square(rows - centroids[_numbers(rows, centroids)]))


@functools.partial(jax.jit, static_argnames="num_codes")
def plus_plus(
  rows: Float[Array, "S F"], key: Key[Array, ""], *, num_codes: int
) -> Float[Array, "V F"]:
  """Draws rows as first centroids, each with odds of its squared distance to those drawn before.

  Args:
    rows: what is drawn from.
    key: the key of the draws.
    num_codes: how many are drawn.
  """
  keys = jax.random.split(key, num_codes)
  first = rows[jax.random.randint(keys[0], (), 0, len(rows))]

  def draw(carry, key):
    distance, latest = carry
    distance = jnp.minimum(distance, jnp.sum(jnp.square(rows - latest[None]), axis=-1))
    # Rows that are all drawn already have the same odds.
    odds = jnp.where(jnp.sum(distance) > 0, distance, 1.0)
    chosen = rows[jax.random.categorical(key, jnp.log(odds))]
    return (distance, chosen), latest

  start = (jnp.full(len(rows), jnp.inf), first)
  _, centroids = jax.lax.scan(draw, start, jnp.roll(keys, -1, axis=0))
  return centroids


@jax.jit
def moved(clusters: Clusters, rows: Float[Array, "S F"]) -> Clusters:
  """Gives rows to their nearest centroids, and moves each to the mean of all it was given.

  A cluster that is given nothing stays where it is.

  Args:
    clusters: what is known so far.
    rows: the rows that are new.
  """
  numbers = _numbers(rows, clusters.centroids)
  given = jnp.zeros_like(clusters.counts).at[numbers].add(1.0)
  sums = jnp.zeros_like(clusters.centroids).at[numbers].add(rows)
  counts = clusters.counts + given
  step = (sums - given[:, None] * clusters.centroids) / jnp.maximum(counts, 1.0)[:, None]
  return Clusters(clusters.centroids + step, counts)


def _numbers(rows: Float[Array, "S F"], centroids: Float[Array, "V F"]) -> Int[Array, " S"]:
  """`nearest`, with the distances of some rows at a time in memory."""
  return jax.lax.map(lambda row: nearest(row[None], centroids)[0], rows, batch_size=_ROWS)

"""K-means a chunk at a time, against NumPy's and scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans

from pretrainjax.models.kmeans import Clusters, fit, moved, nearest, plus_plus

KEY = jax.random.key(0)


def blobs(*, count=600, centers=6, width=3, seed=0):
  rng = np.random.default_rng(seed)
  middles = rng.normal(size=(centers, width)) * 20
  found = middles[rng.integers(centers, size=count)] + rng.normal(size=(count, width))
  return found.astype(np.float32)


def inertia(rows, centroids):
  distances = np.square(rows[:, None] - np.asarray(centroids)[None]).sum(-1)
  return distances.min(1).sum()


def test_the_nearest_is_that_of_all_distances():
  rows, centroids = blobs(), blobs(count=9, seed=1)
  expected = np.square(rows[:, None] - centroids[None]).sum(-1).argmin(1)
  np.testing.assert_array_equal(nearest(jnp.asarray(rows), jnp.asarray(centroids)), expected)


def test_well_parted_clusters_are_found_as_scikit_learn_finds_them():
  rows = blobs()
  found = fit(np.split(rows, 3), KEY, num_codes=6)
  theirs = KMeans(6, n_init=10, random_state=0).fit(rows)
  assert inertia(rows, found.centroids) < 1.01 * theirs.inertia_
  assert int(found.counts.sum()) == len(rows)


def test_a_chunk_moves_each_centroid_to_the_mean_of_all_it_was_given():
  first, second = blobs(count=50), blobs(count=40, seed=3)
  centroids = first[:4].copy()
  clusters = Clusters(jnp.asarray(centroids), jnp.zeros(4))
  for chunk in (first, second):
    clusters = moved(clusters, jnp.asarray(chunk))
  given = [[], [], [], []]
  for chunk in (first, second):
    numbers = np.square(chunk[:, None] - centroids[None]).sum(-1).argmin(1)
    for number, row in zip(numbers, chunk, strict=True):
      given[number].append(row)
    centroids = np.stack([np.mean(g, 0) if g else c for g, c in zip(given, centroids, strict=True)])
  np.testing.assert_allclose(clusters.centroids, centroids, rtol=1e-4, atol=1e-4)
  np.testing.assert_array_equal(clusters.counts, [len(rows) for rows in given])


def test_first_centroids_are_rows_none_of_them_twice():
  rows = blobs(count=40)
  found = np.asarray(plus_plus(jnp.asarray(rows), KEY, num_codes=40))
  np.testing.assert_allclose(np.sort(found, axis=0), np.sort(rows, axis=0), rtol=1e-6)


def test_rows_that_are_all_alike_are_clustered_too():
  found = fit([np.ones((5, 2), "f4")], KEY, num_codes=3)
  np.testing.assert_array_equal(found.centroids, np.ones((3, 2)))


def test_fewer_rows_than_clusters_are_refused():
  with pytest.raises(ValueError, match="num_codes: found 9, expected at most the 5 rows"):
    fit([np.ones((5, 2), "f4")], KEY, num_codes=9)
  with pytest.raises(ValueError, match="chunks: found none"):
    fit([], KEY, num_codes=9)

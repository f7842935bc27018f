"""Buckets of intervals, and the bias that they have."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.models.layers.interval import IntervalBias, interval_buckets


def test_buckets_are_logarithms_of_seconds_and_the_last_has_the_rest():
  times = np.array([[0, 1, 2, 3600, 86_400, 2**31 - 1]], np.int32)
  found = interval_buckets(times, num_buckets=64)[0]
  apart = np.abs(times[0, :, None].astype(np.int64) - times[0])
  expected = np.minimum(np.floor(np.log(np.maximum(apart, 1)) / 0.301), 63).astype(int)
  assert found.tolist() == expected.tolist()
  assert (found == found.T).all() and found.max() > 60
  assert interval_buckets(times, num_buckets=8).max() == 7


def test_the_bias_is_the_bucket_s_row():
  bias = IntervalBias(num_heads=3, num_buckets=16, init_std=1.0, rngs=nnx.Rngs(0))
  times = jnp.array([[5, 90, 7000], [0, 0, 0]])
  found, buckets = bias(times), interval_buckets(times, num_buckets=16)
  assert found.shape == (2, 3, 3, 3)
  np.testing.assert_array_equal(found[0, 1, 0, 2], bias.table[int(buckets[0, 0, 2]), 1])
  np.testing.assert_array_equal(found[1], jnp.broadcast_to(bias.table[0][:, None, None], (3, 3, 3)))

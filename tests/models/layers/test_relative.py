import math

import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.relative import RelativeBias, relative_buckets


def by_loops(distance: int, *, bidirectional: bool, num_buckets: int, max_distance: int) -> int:
  bucket = 0
  if bidirectional:
    num_buckets //= 2
    bucket = num_buckets if distance > 0 else 0
    distance = abs(distance)
  else:
    distance = max(-distance, 0)
  exact = num_buckets // 2
  if distance < exact:
    return bucket + distance
  ratio = math.log(distance / exact) / math.log(max_distance / exact)
  # A hair more, as exact powers lie on borders.
  return bucket + min(exact + int(ratio * (num_buckets - exact) + 1e-6), num_buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 20)])
def test_buckets_are_those_of_the_definition(bidirectional, num_buckets, max_distance):
  options = {"num_buckets": num_buckets, "max_distance": max_distance}
  options["bidirectional"] = bidirectional
  buckets = relative_buckets(150, 140, **options)
  expected = [[by_loops(key - query, **options) for key in range(140)] for query in range(150)]
  np.testing.assert_array_equal(buckets, expected)


def test_its_graph_has_a_hash_that_jit_asks_for():
  bias = RelativeBias(num_heads=3, bidirectional=True, init_std=1.0, rngs=nnx.Rngs(0))
  assert hash(nnx.split(bias)[0]) == hash(nnx.split(bias)[0])


def test_bias_depends_on_the_distance_alone():
  bias = RelativeBias(num_heads=3, bidirectional=True, init_std=1.0, rngs=nnx.Rngs(0))(6, 6)
  assert bias.shape == (1, 3, 6, 6)
  np.testing.assert_array_equal(bias[0, :, 1:, 1:], bias[0, :, :-1, :-1])
  assert bias[0, 0, 0, 1] != bias[0, 0, 1, 0]


def test_odd_counts_of_buckets_are_refused():
  with pytest.raises(ValueError, match="num_buckets=6: expected a multiple of 4"):
    RelativeBias(num_heads=1, bidirectional=True, num_buckets=6, init_std=1.0, rngs=nnx.Rngs(0))

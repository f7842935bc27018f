"""Codes of rows: what is fixed, what is nearest, how many are in use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.quantizers import (
  FixedCodes,
  NearestCentroid,
  RandomProjectionQuantizer,
  perplexity,
)


def rows(*shape, seed=0):
  return jax.random.normal(jax.random.key(seed), shape)


def test_the_code_is_the_nearest_by_cosine_of_the_projected_row():
  sizes = {"in_dim": 12, "num_codes": 30, "code_dim": 4, "num_codebooks": 2}
  quantizer = RandomProjectionQuantizer(**sizes, rngs=nnx.Rngs(0))
  x = rows(3, 7, 12)
  projected = np.einsum("bnf,cfd->bncd", x, quantizer.projections[...])
  projected /= np.linalg.norm(projected, axis=-1, keepdims=True)
  codes = np.asarray(quantizer.codes[...])
  np.testing.assert_allclose(np.linalg.norm(codes, axis=-1), 1, rtol=1e-5)
  distance = np.square(projected[:, :, :, None] - codes[None, None]).sum(-1)
  np.testing.assert_array_equal(quantizer(x), distance.argmin(-1))
  np.testing.assert_array_equal(quantizer(5 * x), quantizer(x))


def test_nothing_of_it_is_a_parameter():
  quantizer = RandomProjectionQuantizer(in_dim=4, num_codes=5, rngs=nnx.Rngs(0))
  assert not jax.tree.leaves(nnx.state(quantizer, nnx.Param))
  assert len(jax.tree.leaves(nnx.state(quantizer, FixedCodes))) == 2
  bound = np.sqrt(6 / (4 + 16))  # Xavier's
  assert np.abs(quantizer.projections[...]).max() <= bound
  assert np.abs(quantizer.projections[...]).max() > 0.9 * bound


def test_normalised_rows_use_many_codes_and_others_few():
  """Why BEST-RQ normalises: rows far from zero in one direction are all near one code."""
  quantizer = RandomProjectionQuantizer(in_dim=8, num_codes=64, rngs=nnx.Rngs(1))
  x = rows(1, 2000, 8)
  few, many = (
    perplexity(quantizer(x + shift), jnp.ones((1, 2000, 1)), num_codes=64) for shift in (9, 0)
  )
  assert many > 25 and few < 5


def test_the_nearest_centroid_is_that_of_a_row_by_itself():
  quantizer = NearestCentroid(in_dim=3, num_codes=4, rngs=nnx.Rngs(0))
  quantizer.centroids[...] = rows(4, 3, seed=1)
  x = rows(2, 5, 3)
  distance = np.square(np.asarray(x)[:, :, None] - np.asarray(quantizer.centroids[...])).sum(-1)
  np.testing.assert_array_equal(quantizer(x)[..., 0], distance.argmin(-1))


@pytest.mark.parametrize(
  ("codes", "weights", "expected"),
  [
    ([0, 1, 2, 3], [1, 1, 1, 1], 4),
    ([0, 1, 2, 3], [1, 1, 0, 0], 2),
    ([2, 2, 2, 2], [1, 1, 1, 1], 1),
    ([0, 1, 2, 3], [0, 0, 0, 0], 1),
  ],
)
def test_perplexity_counts_codes_in_use(codes, weights, expected):
  found = perplexity(jnp.asarray(codes), jnp.asarray(weights, jnp.float32), num_codes=7)
  np.testing.assert_allclose(found, expected, rtol=1e-5)

"""Scores of units: a linear layer, or cosines."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.models.unit_head import UnitHead


def test_cosine_scores_are_those_of_the_paper():
  head = UnitHead(in_dim=5, num_codes=7, code_dim=4, num_codebooks=2, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 3, 5))
  projected = np.asarray(head.projection(x))
  for c in range(2):
    rows, codes = projected[..., 4 * c : 4 * c + 4], np.asarray(head.table[...][c])
    cosines = np.einsum("bnd,vd->bnv", rows, codes) / np.linalg.norm(codes, axis=-1)
    cosines /= np.linalg.norm(rows, axis=-1, keepdims=True)
    found = jnp.einsum("bnd,vd->bnv", head.rows(x, c), head.codes(c))
    np.testing.assert_allclose(found, cosines / 0.1, rtol=2e-3, atol=1e-3)
    assert head.offsets(c) is None


def test_without_codes_of_its_own_it_is_a_linear_layer():
  head = UnitHead(in_dim=5, num_codes=7, num_codebooks=2, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 3, 5))
  assert head.rows(x, 1) is x and head.codes(1).shape == (7, 5)
  np.testing.assert_array_equal(head.offsets(1), jnp.zeros(7))
  assert abs(float(jnp.std(head.table[...])) - 0.02) < 0.005

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.mlp import Mlp, activation, gelu


def test_against_numpy_with_the_exact_gelu():
  layer = Mlp(embed_dim=6, mlp_dim=10, rngs=nnx.Rngs(0))
  x = np.asarray(jax.random.normal(jax.random.key(1), (2, 3, 6)) * 2)
  hidden = x @ np.asarray(layer.up.kernel[...])
  hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
  expected = hidden @ np.asarray(layer.down.kernel[...])
  np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=2e-6)


def test_dropout_is_off_unless_asked_for():
  layer = Mlp(embed_dim=6, mlp_dim=10, dropout=0.5, rngs=nnx.Rngs(0))
  x = jnp.ones((2, 3, 6))
  np.testing.assert_array_equal(layer(x), layer(x))
  dropped = layer(x, deterministic=False, rngs=nnx.Rngs(1))
  assert 0.2 < (dropped == 0).mean() < 0.8


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "relu", "tanh"])
def test_gated_is_a_product(name):
  layer = Mlp(embed_dim=6, mlp_dim=10, activation=name, gated=True, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 3, 6))
  expected = layer.down(activation(name)(layer.gate(x)) * layer.up(x))
  np.testing.assert_allclose(layer(x), expected, atol=1e-6)


def test_inner_dropout_is_before_the_last_layer():
  layer = Mlp(embed_dim=6, mlp_dim=10, inner_dropout=0.5, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 3, 6))
  dropped = layer(x, deterministic=False, rngs=nnx.Rngs(1))
  assert (dropped != 0).all() and (dropped != layer(x)).any()


def test_gelu_is_x_times_the_normal_distribution():
  x = np.linspace(-6, 6, 101, dtype=np.float32)
  expected = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
  np.testing.assert_allclose(gelu(jnp.asarray(x)), expected, atol=1e-6)

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.models.layers.pool import AttentionPool, mean_pool

TOKENS = jax.random.normal(jax.random.key(0), (2, 5, 8))
VALID = jnp.arange(5)[None] < jnp.array([[3], [5]])


def test_mean_pool():
  np.testing.assert_allclose(mean_pool(TOKENS), np.mean(TOKENS, axis=1), atol=1e-6)
  pooled = mean_pool(TOKENS, VALID)
  np.testing.assert_allclose(pooled[0], np.mean(TOKENS[0, :3], axis=0), atol=1e-6)
  np.testing.assert_allclose(pooled[1], np.mean(TOKENS[1], axis=0), atol=1e-6)


def test_mean_pool_of_nothing_is_zero():
  np.testing.assert_array_equal(mean_pool(TOKENS, jnp.zeros((2, 5), bool)), jnp.zeros((2, 8)))


def test_attention_pool_ignores_order_and_padding():
  layer = AttentionPool(embed_dim=8, num_heads=2, mlp_dim=16, rngs=nnx.Rngs(0))
  pooled = layer(TOKENS, VALID)
  assert pooled.shape == (2, 8)
  np.testing.assert_allclose(layer(TOKENS[:, ::-1], VALID[:, ::-1]), pooled, atol=1e-5)
  np.testing.assert_allclose(layer(TOKENS[:1, :3]), pooled[:1], atol=1e-5)

"""The gated block against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.ligr_block import LiGRBlock
from pretrainjax.models.layers.scope import Scope


def made(**changes):
  options = {"embed_dim": 8, "num_heads": 2, "mlp_dim": 12, "rngs": nnx.Rngs(0)}
  block = LiGRBlock(**(options | changes))
  block.gate1.bias[...] = jnp.linspace(-3, 3, 8)
  block.gate2.bias[...] = jnp.linspace(2, -2, 8)
  return block


def norm(x):
  return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_equals_the_formula_whose_gates_read_the_stream_before_the_norm():
  block = made()
  x = 2 + np.asarray(jax.random.normal(jax.random.key(1), (2, 5, 8)), np.float64)
  scope = Scope(causal=True)
  attended = np.asarray(block.attention(jnp.asarray(norm(x), jnp.float32), scope=scope))
  w1, b1, w2, b2 = (
    np.asarray(a[...]) for g in (block.gate1, block.gate2) for a in (g.kernel, g.bias)
  )
  y = x + sigmoid(x @ w1 + b1) * attended
  mlp = block.mlp
  gate, up, down = (np.asarray(m.kernel[...]) for m in (mlp.gate, mlp.up, mlp.down))
  inner = norm(y) @ gate
  y = y + sigmoid(y @ w2 + b2) * ((inner * sigmoid(inner) * (norm(y) @ up)) @ down)
  np.testing.assert_allclose(block(jnp.asarray(x, jnp.float32), scope=scope), y, atol=1e-4)


def test_closed_gates_leave_the_stream_as_it_is():
  block = made()
  for gate in (block.gate1, block.gate2):
    gate.bias[...] = jnp.full(8, -100.0)
  x = jax.random.normal(jax.random.key(1), (2, 5, 8))
  np.testing.assert_allclose(block(x), x, atol=1e-6)


def test_refuses_a_context_and_drops_only_in_training():
  block = made(dropout=0.5)
  x = jax.random.normal(jax.random.key(1), (1, 3, 8))
  with pytest.raises(ValueError, match="context"):
    block(x, context=x)
  assert block.is_random
  np.testing.assert_array_equal(block(x), block(x))
  assert (block(x, deterministic=False, rngs=nnx.Rngs(1)) != block(x)).any()

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.block import Block
from pretrainjax.models.layers.scope import Scope

SIZES = {"embed_dim": 8, "num_heads": 2, "mlp_dim": 12}
X = jax.random.normal(jax.random.key(0), (3, 5, 8))


def test_post_norm_ends_with_its_norm():
  block = Block(order="post", rngs=nnx.Rngs(0), **SIZES)
  y = block(X)
  np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
  np.testing.assert_allclose(y.std(-1), 1, atol=1e-3)
  attended = block.norm1(X + block.attention(X))
  np.testing.assert_allclose(y, block.norm2(attended + block.mlp(attended)), atol=1e-6)


def test_pre_norm_leaves_the_residual_alone():
  block = Block(rngs=nnx.Rngs(0), **SIZES)
  attended = X + block.attention(block.norm1(X))
  np.testing.assert_allclose(block(X), attended + block.mlp(block.norm2(attended)), atol=1e-6)


def test_without_the_first_norm():
  block = Block(first_norm=False, rngs=nnx.Rngs(0), **SIZES)
  attended = X + block.attention(X)
  np.testing.assert_allclose(block(X), attended + block.mlp(block.norm2(attended)), atol=1e-6)


def test_cross_attention_sees_the_context_only_where_it_is_valid():
  block = Block(cross=True, rngs=nnx.Rngs(0), **SIZES)
  context = jax.random.normal(jax.random.key(1), (3, 7, 8))
  valid = jnp.broadcast_to(jnp.arange(7)[None] < 4, (3, 7))
  some = block(X, context=context, context_scope=Scope(valid=valid))
  np.testing.assert_allclose(some, block(X, context=context[:, :4]), atol=1e-6)
  assert not np.allclose(some, block(X, context=context))


@pytest.mark.parametrize("kind", ["layer", "layer_scale", "rms"])
def test_without_biases_there_are_none(kind):
  block = Block(norm=kind, use_bias=False, gated=True, rngs=nnx.Rngs(0), **SIZES)
  paths = [".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(block))]
  biases = [p for p in paths if "bias" in p]
  assert biases == (["norm1.bias", "norm2.bias"] if kind == "layer" else [])


def test_dropout_of_each_kind_is_seen():
  for rate in ("dropout", "inner_dropout", "attention_dropout"):
    block = Block(**{rate: 0.5}, rngs=nnx.Rngs(0), **SIZES)
    assert block.is_random
    dropped = block(X, deterministic=False, rngs=nnx.Rngs(0))
    assert not np.allclose(dropped, block(X)), rate
  assert not Block(rngs=nnx.Rngs(0), **SIZES).is_random

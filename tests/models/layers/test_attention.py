import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.attention import Attention, dot_product_attention, pick_kernel


def reference(query, key, value, valid=None):
  """By numpy, one head at a time."""
  out = np.empty(query.shape)
  for b, h in np.ndindex(query.shape[0], query.shape[2]):
    logits = query[b, :, h] @ key[b, :, h].T / np.sqrt(query.shape[-1])
    if valid is not None:
      logits = np.where(valid[b], logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    out[b, :, h] = weights / weights.sum(axis=1, keepdims=True) @ value[b, :, h]
  return out


def random_inputs(num_queries=5, num_keys=7):
  rng = np.random.default_rng(0)
  shapes = [(2, num_queries, 3, 4), (2, num_keys, 3, 4), (2, num_keys, 3, 4)]
  return [rng.normal(size=s).astype(np.float32) for s in shapes]


@pytest.mark.parametrize("kernel", ["einsum", "xla"])
@pytest.mark.parametrize("masked", [False, True])
def test_kernels_agree_with_numpy(kernel, masked):
  inputs = random_inputs()
  valid = np.arange(7) < np.array([[4], [7]]) if masked else None
  out = dot_product_attention(
    *map(jnp.asarray, inputs), valid=None if valid is None else jnp.asarray(valid), kernel=kernel
  )
  np.testing.assert_allclose(out, reference(*inputs, valid), atol=1e-5)


def test_padding_does_not_matter():
  query, key, value = map(jnp.asarray, random_inputs())
  valid = jnp.arange(7)[None] < jnp.array([[4], [4]])
  padded = dot_product_attention(query, key, value, valid=valid)
  np.testing.assert_allclose(
    padded, dot_product_attention(query, key[:, :4], value[:, :4]), atol=1e-6
  )


@pytest.mark.parametrize(
  ("backend", "dtype", "head_dim", "masked", "expected"),
  [
    ("cpu", "float32", 64, False, "einsum"),
    ("cpu", "bfloat16", 64, True, "einsum"),
    ("gpu", "bfloat16", 64, False, "cudnn"),
    ("gpu", "float32", 64, False, "xla"),
    ("gpu", "bfloat16", 60, False, "xla"),
    ("gpu", "bfloat16", 256, False, "xla"),
    ("gpu", "bfloat16", 64, True, "xla"),
    ("tpu", "bfloat16", 64, False, "xla"),
  ],
)
def test_pick_kernel(backend, dtype, head_dim, masked, expected):
  assert pick_kernel(backend=backend, dtype=dtype, head_dim=head_dim, masked=masked) == expected


def test_self_attention_is_attention_to_itself():
  layer = Attention(embed_dim=12, num_heads=3, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 5, 12))
  np.testing.assert_allclose(layer(x), layer(x, context=x), atol=1e-6)


def test_attention_commutes_with_permutations_of_tokens():
  layer = Attention(embed_dim=12, num_heads=3, rngs=nnx.Rngs(0))
  x = jax.random.normal(jax.random.key(1), (2, 5, 12))
  order = jnp.array([3, 0, 4, 1, 2])
  np.testing.assert_allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-6)


def test_bfloat16_stays_near_float32():
  inputs = [jnp.asarray(x) for x in random_inputs()]
  half = dot_product_attention(*(x.astype(jnp.bfloat16) for x in inputs))
  assert half.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    half.astype(jnp.float32), dot_product_attention(*inputs), atol=0.05, rtol=0.05
  )


def test_heads_must_divide_the_width():
  with pytest.raises(ValueError, match="num_heads=5: expected a divisor of embed_dim=12"):
    Attention(embed_dim=12, num_heads=5, rngs=nnx.Rngs(0))

"""A low-rank update starts as nothing, is added as its formula says, and can be merged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.lora import LoRALinear, merged_kernel, project

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(3, 5, 8)), jnp.float32)


def pair(**changes):
  """A layer, and the same with an update."""
  plain = nnx.Linear(8, 6, rngs=nnx.Rngs(0))
  options = {"rank": 2, "alpha": 4.0} | changes
  return plain, LoRALinear(plain, rngs=nnx.Rngs(1), **options)


def filled(layer):
  """B as after training."""
  layer.lora_b[...] = jnp.asarray(RNG.normal(size=layer.lora_b.shape), jnp.float32)
  return layer


def test_a_new_one_computes_the_same_bits():
  plain, layer = pair()
  np.testing.assert_array_equal(layer(X), plain(X))
  assert layer.kernel is plain.kernel and layer.bias is plain.bias
  bound = 1 / np.sqrt(8)
  assert bound / 2 < np.abs(layer.lora_a[...]).max() < bound


def test_it_is_the_formula():
  _, layer = pair()
  filled(layer)
  a, b = (np.asarray(p[...], np.float64) for p in (layer.lora_a, layer.lora_b))
  kernel, bias = np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...])
  x = np.asarray(X, np.float64)
  np.testing.assert_allclose(layer(X), x @ kernel + bias + 4 / 2 * (x @ a) @ b, atol=1e-5)


def test_merged_equals_unmerged():
  _, layer = pair()
  merged = filled(layer).merged()
  assert type(merged) is nnx.Linear and merged.in_features == 8
  np.testing.assert_allclose(merged(X), layer(X), atol=1e-6)


def test_layers_of_a_stack_have_updates_of_their_own():
  stack = nnx.vmap(lambda key: nnx.Linear(8, 6, rngs=nnx.Rngs(key)))(
    jax.random.split(jax.random.key(0), 3)
  )
  layer = filled(LoRALinear(stack, rank=2, alpha=2.0, rngs=nnx.Rngs(1)))
  assert layer.lora_a.shape == (3, 8, 2) and layer.lora_b.shape == (3, 2, 6)
  whole = merged_kernel(layer.kernel[...], layer.lora_a[...], layer.lora_b[...], scale=1.0)
  for i in range(3):
    expected = layer.kernel[i] + layer.lora_a[i] @ layer.lora_b[i]
    np.testing.assert_allclose(whole[i], expected, atol=1e-6)


def test_dropout_is_of_what_the_update_reads_alone():
  plain, layer = pair(dropout=0.5)
  np.testing.assert_array_equal(
    project(layer, X, deterministic=False, rngs=nnx.Rngs(dropout=3)), plain(X)
  )
  filled(layer)
  still = project(layer, X, deterministic=True)
  np.testing.assert_array_equal(still, layer(X))
  drawn = [project(layer, X, deterministic=False, rngs=nnx.Rngs(dropout=i)) for i in range(300)]
  assert not np.array_equal(drawn[0], drawn[1])
  np.testing.assert_allclose(np.mean(drawn, axis=0), still, atol=0.8)
  with pytest.raises(ValueError, match="needs rngs="):
    project(layer, X, deterministic=False)


def test_a_plain_layer_is_called_as_it_is():
  plain, _ = pair()
  np.testing.assert_array_equal(project(plain, X, deterministic=False, rngs=None), plain(X))


def test_the_dtype_of_computation_stays():
  plain = nnx.Linear(8, 6, dtype="bfloat16", rngs=nnx.Rngs(0))
  layer = LoRALinear(plain, rank=2, alpha=4.0, rngs=nnx.Rngs(1))
  assert layer(X).dtype == jnp.bfloat16 and layer.lora_a.dtype == jnp.float32

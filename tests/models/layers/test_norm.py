import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from pretrainjax.models.layers.norm import BatchNorm, LayerNorm, RMSNorm


def normal(shape, scale=3.0, shift=1.0):
  return (np.random.default_rng(0).normal(size=shape) * scale + shift).astype(np.float32)


def test_layer_norm_against_numpy():
  x = normal((2, 5, 8))
  layer = LayerNorm(embed_dim=8, eps=1e-6)
  layer.scale[...] = jnp.arange(8.0)
  layer.bias[...] = jnp.full(8, 0.5)
  wide = x.astype(np.float64)
  centred = wide - wide.mean(-1, keepdims=True)
  expected = centred / np.sqrt(wide.var(-1, keepdims=True) + 1e-6) * np.arange(8) + 0.5
  np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=1e-5)


def test_layer_norm_gradient_against_differences():
  layer = LayerNorm(embed_dim=6, eps=1e-6)
  check_grads(
    lambda x: layer(jnp.asarray(x)),
    (jnp.asarray(normal((2, 6))),),
    order=1,
    modes=["rev"],
    eps=1e-2,
  )


def test_layer_norm_of_a_large_offset_keeps_its_precision():
  x = normal((4, 64), scale=1.0, shift=1000.0)
  np.testing.assert_allclose(
    LayerNorm(embed_dim=64, eps=1e-6)(jnp.asarray(x)),
    LayerNorm(embed_dim=64, eps=1e-6)(jnp.asarray((x - 1000).astype(np.float32))),
    atol=1e-3,
  )


def test_layer_norm_in_bfloat16_has_float32_statistics():
  x = jnp.asarray(normal((3, 256), shift=20.0)).astype(jnp.bfloat16)
  layer = LayerNorm(embed_dim=256, eps=1e-6)
  assert layer(x).dtype == jnp.bfloat16
  exact = layer(x.astype(jnp.float32))
  np.testing.assert_allclose(layer(x).astype(jnp.float32), exact, rtol=2**-8, atol=1e-6)


def test_batch_norm_against_numpy():
  x = normal((4, 3, 3, 5))
  layer = BatchNorm(num_features=5, momentum=0.8)
  layer.scale[...] = jnp.arange(5.0)
  layer.bias[...] = jnp.full(5, 0.5)
  y = layer(jnp.asarray(x), deterministic=False)
  mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
  expected = (x - mean) / np.sqrt(variance + 1e-5) * np.arange(5) + 0.5
  np.testing.assert_allclose(y, expected, atol=1e-4)
  np.testing.assert_allclose(layer.mean[...], 0.2 * mean, rtol=1e-5)
  np.testing.assert_allclose(layer.var[...], 0.8 + 0.2 * variance, rtol=1e-4)


def test_batch_norm_uses_running_statistics_when_deterministic():
  layer = BatchNorm(num_features=2, scale=False, bias=False)
  layer.mean[...] = jnp.array([1.0, 2.0])
  layer.var[...] = jnp.array([4.0, 9.0])
  y = layer(jnp.array([[3.0, 5.0]]), deterministic=True)
  np.testing.assert_allclose(y, [[1.0, 1.0]], atol=1e-5)
  np.testing.assert_array_equal(layer.mean[...], [1.0, 2.0])


def test_batch_norm_running_statistics_converge_to_the_batch():
  layer, x = BatchNorm(num_features=3, momentum=0.5), jnp.asarray(normal((64, 3)))
  for _ in range(30):
    train = layer(x, deterministic=False)
  np.testing.assert_allclose(train, layer(x, deterministic=True), atol=1e-4)


def test_batch_norm_gradient_goes_through_the_statistics():
  def loss(x):
    layer = BatchNorm(num_features=2, scale=False, bias=False)
    return jnp.sum(jnp.square(layer(x, deterministic=False))[:3])

  x = normal((6, 2))
  expected = _numpy_gradient(x.astype(np.float64))
  np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(x)), expected, atol=1e-4)


def _numpy_gradient(x, eps=1e-5):
  mean, std = x.mean(0), np.sqrt(x.var(0) + eps)
  y = (x - mean) / std
  dy = 2 * y * (np.arange(len(x)) < 3)[:, None]
  return (dy - dy.mean(0) - y * (dy * y).mean(0)) / std


def test_pmap_has_the_statistics_of_the_whole_batch():
  """With one device too the axis is bound, so that the collectives run."""
  x = jnp.asarray(normal((8, 3)))

  def apply(x):
    layer = BatchNorm(num_features=3)
    return layer(x, deterministic=False), layer.mean[...]

  alone = apply(x)
  together = jax.pmap(apply, axis_name="data")(x[None])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], atol=1e-5), alone, together)


def test_momentum_is_checked():
  with pytest.raises(ValueError, match="momentum=1.5"):
    BatchNorm(num_features=2, momentum=1.5)


def test_rms_norm_against_numpy():
  layer = RMSNorm(embed_dim=6, eps=1e-5)
  x = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
  scale = np.arange(1.0, 7.0, dtype=np.float32)
  layer.scale.set_value(jnp.asarray(scale))
  expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale
  np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=1e-5)


def test_layer_norm_without_shift():
  layer = LayerNorm(embed_dim=6, eps=1e-5, use_bias=False)
  x = jax.random.normal(jax.random.key(0), (2, 6))
  assert layer.bias is None
  np.testing.assert_allclose(layer(x), LayerNorm(embed_dim=6, eps=1e-5)(x), atol=1e-6)


def test_a_batch_norm_leaves_out_what_is_not_valid():
  x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)), jnp.float32)
  valid = jnp.arange(5)[None] < jnp.array([[5], [2]])
  norms = [BatchNorm(num_features=3), BatchNorm(num_features=3)]
  found = norms[0](x, deterministic=False, valid=valid)
  real = norms[1](x[valid], deterministic=False)
  np.testing.assert_allclose(found[valid], real, atol=1e-5)
  np.testing.assert_allclose(norms[0].var[...], norms[1].var[...], atol=1e-6)

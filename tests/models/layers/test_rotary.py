import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.models.layers.rotary import rotary_angles, rotate

X = jax.random.normal(jax.random.key(0), (2, 6, 3, 8))
PLACES = jnp.broadcast_to(jnp.arange(6)[None], (2, 6))


def test_turning_is_multiplication_by_complex_numbers():
  turned = rotate(X, rotary_angles(PLACES, head_dim=8, theta=100.0))
  x = np.asarray(X, np.float64)
  pairs = x[..., :4] + 1j * x[..., 4:]
  frequencies = 100.0 ** (-np.arange(4) / 4)
  angles = np.arange(6)[:, None] * frequencies
  expected = pairs * np.exp(1j * angles)[None, :, None, :]
  np.testing.assert_allclose(turned[..., :4], expected.real, atol=1e-5)
  np.testing.assert_allclose(turned[..., 4:], expected.imag, atol=1e-5)


def test_products_depend_on_the_distance_alone():
  def products(start):
    turned = rotate(X, rotary_angles(PLACES + start, head_dim=8, theta=100.0))
    return jnp.einsum("bqhd,bkhd->bhqk", turned, turned)

  np.testing.assert_allclose(products(0), products(17), atol=1e-4)


def test_odd_heads_are_refused():
  with pytest.raises(ValueError, match="head_dim=7: rotary positions need an even number"):
    rotary_angles(PLACES, head_dim=7, theta=100.0)

import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.models.pixels import check_statistics, normalize_pixels


def test_bytes_become_standardised_floats():
  images = np.array([[[[0, 255, 51]]]], np.uint8)
  y = normalize_pixels(images, mean=(0.0, 0.5, 0.2), std=(1.0, 0.25, 2.0))
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y, [[[[0, 2, 0]]]], atol=1e-6)


def test_floats_pass():
  x = jnp.array([[1.5, -2.0]])
  assert normalize_pixels(x, mean=(0.5,), std=(0.5,)) is x


def test_other_dtypes_are_refused():
  with pytest.raises(ValueError, match="dtype int32: expected uint8"):
    normalize_pixels(jnp.zeros((1, 2), jnp.int32), mean=(0.5,), std=(0.5,))


@pytest.mark.parametrize(
  ("mean", "std", "message"),
  [
    ((0.5, 0.5), (1.0,), "image_mean"),
    ((0.5,), (1.0,) * 4, "image_std"),
    ((0.5,), (0.0,), "posit"),
  ],
)
def test_statistics_are_checked(mean, std, message):
  with pytest.raises(ValueError, match=message):
    check_statistics(mean, std, 3)

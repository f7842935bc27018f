import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.losses.reconstruction import normalize_patches, patch_mse


@pytest.fixture
def patches():
  rng = np.random.default_rng(0)
  prediction, target = rng.random((2, 3, 7, 12), np.float32)
  return prediction, target, np.arange(21).reshape(3, 7) % 3 == 0


def test_normalize_equals_the_reference(patches):
  _, target, _ = patches
  mean = target.mean(-1, keepdims=True)
  variance = ((target - mean) ** 2).sum(-1, keepdims=True) / 11  # unbiased
  expected = (target - mean) / np.sqrt(variance + 1e-6)
  np.testing.assert_allclose(normalize_patches(jnp.asarray(target)), expected, atol=1e-5)


def test_normalize_forgets_brightness_and_contrast_of_a_patch(patches):
  target = jnp.asarray(patches[1])
  np.testing.assert_allclose(
    normalize_patches(target * 5 + 2), normalize_patches(target), atol=1e-4
  )
  np.testing.assert_array_equal(normalize_patches(jnp.full((1, 1, 4), 0.5)), 0.0)


def test_mse_equals_the_reference(patches):
  prediction, target, scored = patches
  error = ((prediction - target) ** 2).mean(-1)
  expected = [row[chosen].mean() for row, chosen in zip(error, scored, strict=True)]
  ours = patch_mse(jnp.asarray(prediction), jnp.asarray(target), scored=jnp.asarray(scored))
  np.testing.assert_allclose(ours, expected, rtol=1e-5)
  everywhere = patch_mse(jnp.asarray(prediction), jnp.asarray(target))
  np.testing.assert_allclose(everywhere, error.mean(1), rtol=1e-5)


def test_patches_that_are_not_scored_have_no_gradient(patches):
  prediction, target, scored = map(jnp.asarray, patches)
  gradient = jax.grad(lambda x: patch_mse(x, target, scored=scored).sum())(prediction)
  np.testing.assert_array_equal(np.abs(gradient).sum(-1) > 0, scored)


def test_the_order_of_patches_does_not_matter(patches):
  prediction, target, scored = map(jnp.asarray, patches)
  order = np.random.default_rng(1).permutation(7)
  shuffled = patch_mse(prediction[:, order], target[:, order], scored=scored[:, order])
  np.testing.assert_allclose(shuffled, patch_mse(prediction, target, scored=scored), rtol=1e-5)


def test_a_row_without_scored_patches_is_zero(patches):
  prediction, target, _ = map(jnp.asarray, patches)
  np.testing.assert_array_equal(patch_mse(prediction, target, scored=jnp.zeros((3, 7), bool)), 0)


def test_single_values_of_patches_can_be_left_out():
  rng = np.random.default_rng(0)
  prediction, target = rng.normal(size=(2, 3, 5, 8)).astype(np.float32)
  real = rng.random((3, 5, 8)) < 0.6
  real[0, 0], real[1], real[2, 1] = False, False, np.arange(8) < 1
  normal = np.asarray(normalize_patches(jnp.asarray(target), real=jnp.asarray(real)))
  for row, patch in np.ndindex(3, 5):
    values = target[row, patch][real[row, patch]].astype(np.float64)
    assert not normal[row, patch][~real[row, patch]].any()
    if len(values) > 1:
      expected = (values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-6)
      np.testing.assert_allclose(normal[row, patch][real[row, patch]], expected, atol=1e-4)
  scored = {"scored": jnp.asarray(real)}
  found = patch_mse(jnp.asarray(prediction), jnp.asarray(target), **scored)
  squares = np.square(prediction - target)
  expected = [squares[row][real[row]].mean() if real[row].any() else 0 for row in range(3)]
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  patches = jnp.asarray(real.any(-1))
  for scored in (patches, jnp.broadcast_to(patches[..., None], real.shape)):
    found = patch_mse(jnp.asarray(prediction), jnp.asarray(target), scored=scored)
    expected = [squares[row][real[row].any(-1)].sum() for row in range(3)]
    counts = np.maximum(8 * real.any(-1).sum(1), 1)
    np.testing.assert_allclose(found, expected / counts, rtol=1e-5)

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

import jax.numpy as jnp
import numpy as np

from pretrainjax.objectives.feature_spread import feature_std, rank_me


def _gaussian(rows=4000, width=16):
  return jnp.asarray(np.random.default_rng(0).normal(size=(rows, width)), jnp.float32)


def test_feature_std_is_one_on_the_sphere_and_zero_when_collapsed():
  np.testing.assert_allclose(feature_std(_gaussian()), 1, atol=0.01)
  np.testing.assert_allclose(feature_std(jnp.ones((8, 16)) * 3), 0, atol=1e-3)


def test_feature_std_ignores_scale():
  features = _gaussian(50)
  np.testing.assert_allclose(feature_std(features * 100), feature_std(features), rtol=1e-4)


def test_rank_me_counts_the_dimensions_in_use():
  features = np.asarray(_gaussian())
  np.testing.assert_allclose(rank_me(jnp.asarray(features)), 16, rtol=0.01)
  features = features * (np.arange(16) < 5)
  np.testing.assert_allclose(rank_me(jnp.asarray(features)), 5, rtol=0.01)


def test_rank_me_equals_the_reference():
  features = np.asarray(_gaussian(30, 8)) * np.arange(1, 9)
  values = np.linalg.svd(features, compute_uv=False)
  share = values / values.sum()
  expected = np.exp(-(share * np.log(share)).sum())
  np.testing.assert_allclose(rank_me(jnp.asarray(features, jnp.float32)), expected, rtol=1e-4)

import jax
import jax.numpy as jnp
import numpy as np

from pretrainjax.collectives import AXIS
from pretrainjax.losses.tokens import token_mean, token_weights


def test_the_mean_over_devices_is_the_mean_over_all_tokens():
  rng = np.random.default_rng(0)
  values = rng.normal(size=(2, 3, 4)).astype(np.float32)
  weights = np.float32(rng.uniform(size=values.shape) < 0.4)
  weights[1] = 0  # a device without any
  assert weights.sum() > 0
  means = jax.vmap(lambda v, w: token_mean(v, w), axis_name=AXIS)(values, weights)
  np.testing.assert_allclose(means.mean(), np.average(values, weights=weights), rtol=1e-6)


def test_without_weight_the_mean_is_zero():
  assert token_mean(jnp.ones(3), jnp.zeros(3)) == 0


def test_masks_are_weights():
  mask = jnp.array([[True, False], [True, True]])
  np.testing.assert_allclose(token_weights(mask), np.array([[1, 0], [1, 1]]) / 3, rtol=1e-6)

"""Losses of distillation at the ends that they are known at."""

import functools

import jax.numpy as jnp
import numpy as np

from pretrainjax.losses.distillation import cosine_distance, feature_mse, soft_label_divergence


def test_the_losses_know_where_they_end():
  rng = np.random.default_rng(0)
  x, y = (jnp.asarray(rng.normal(size=(5, 7)), jnp.float32) for _ in range(2))
  for loss in (cosine_distance, feature_mse):
    np.testing.assert_allclose(loss(x, x), 0, atol=1e-6)
    np.testing.assert_allclose(loss(x, y), loss(y, x), rtol=1e-6)
  np.testing.assert_allclose(cosine_distance(x, 3 * y), cosine_distance(x, y), rtol=1e-5)
  np.testing.assert_allclose(cosine_distance(x, -x), 2, rtol=1e-6)
  soft = functools.partial(soft_label_divergence, temperature=3.0)
  np.testing.assert_allclose(soft(x, x), 0, atol=1e-6)
  assert (soft(x, y) > 0).all()
  np.testing.assert_allclose(soft(x + 5, y - 2), soft(x, y), rtol=1e-4, atol=1e-5)
  # At high temperature it is the squared difference of centred logits, halved and averaged.
  centred = [np.asarray(z - z.mean(-1, keepdims=True)) for z in (x, y)]
  expected = ((centred[0] - centred[1]) ** 2).mean(-1) / 2
  hot = soft_label_divergence(x, y, temperature=100.0)
  np.testing.assert_allclose(hot, expected, rtol=0.05)

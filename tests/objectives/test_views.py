"""Views go through a network together, and come out by example."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.augment.color import ColorAugment
from pretrainjax.errors import UserError
from pretrainjax.objectives.views import augment_views, check_views, on_views

ENCODER = types.SimpleNamespace(image_mean=(0.5,), image_std=(0.25,))


def images(num_views=2, size=8, seed=0):
  shape = (3, num_views, size, size, 3)
  return jnp.asarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def mean_of_rows(rows):
  return jnp.mean(rows.astype(jnp.float32), axis=(1, 2))


def test_views_come_out_by_example():
  x = images()
  found = on_views(lambda rows: {"mean": mean_of_rows(rows)}, x)["mean"]
  np.testing.assert_allclose(found, np.asarray(x, np.float32).mean((2, 3)), rtol=1e-6)


def test_a_group_is_one_call_so_that_statistics_are_of_all_its_views():
  sizes = []

  def network(rows):
    sizes.append(rows.shape)
    return mean_of_rows(rows) - jnp.mean(mean_of_rows(rows), axis=0)[None]

  large, small = images(2, 8), images(4, 4, seed=1)
  found = on_views(network, large, small)
  assert sizes == [(6, 8, 8, 3), (12, 4, 4, 3)] and found.shape == (3, 6, 3)
  means = np.asarray(small, np.float32).mean((2, 3))
  np.testing.assert_allclose(found[:, 2:], means - means.mean((0, 1)), rtol=1e-4, atol=1e-4)


def test_trees_of_arrays_are_views_too():
  tokens = jnp.arange(24).reshape(2, 3, 4)
  found = on_views(lambda rows: rows[0].sum(1) + rows[1].sum(1), (tokens, tokens * 2))
  np.testing.assert_array_equal(found, 3 * np.arange(24).reshape(2, 3, 4).sum(2))


def test_each_view_has_a_draw_of_its_own_and_is_normalised():
  x = images()
  x = x.at[:, 1].set(x[:, 0])
  augment = ColorAugment(brightness=0.8, jitter_probability=1.0)
  found = augment_views(x, augment, encoder=ENCODER, rngs=nnx.Rngs(0))
  assert found.shape == x.shape and found.dtype == jnp.float32
  assert np.abs(found[:, 0] - found[:, 1]).max() > 0.1
  again = augment_views(x, augment, encoder=ENCODER, rngs=nnx.Rngs(0))
  np.testing.assert_array_equal(found, again)
  idle = augment_views(x, ColorAugment(), encoder=ENCODER, rngs=nnx.Rngs(0))
  np.testing.assert_allclose(idle, (np.asarray(x) / 255 - 0.5) / 0.25, rtol=1e-5, atol=1e-6)


def test_without_augmentation_views_stay_bytes():
  x = images()
  assert augment_views(x, None, encoder=ENCODER, rngs=nnx.Rngs(0)) is x


@pytest.mark.parametrize("shape", [(3, 8, 8, 3), (3, 3, 8, 8, 3)])
def test_another_number_of_views_is_refused(shape):
  with pytest.raises(UserError, match=r"config.data.views: found images \(3, .* expected 2 views"):
    check_views(jnp.zeros(shape, jnp.uint8), num_views=2)

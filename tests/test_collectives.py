"""Without a bound axis every collective is the identity; eight devices are in losses/."""

import jax
import jax.numpy as jnp
import numpy as np

from pretrainjax import collectives

X = jnp.arange(12.0).reshape(4, 3)


def _one_device(fn, *arguments):
  """Under pmap on the one device there is."""
  stacked = jax.tree.map(lambda x: x[None], arguments)
  return jax.pmap(fn, axis_name=collectives.AXIS, devices=jax.devices()[:1])(*stacked)[0]


def test_no_axis_is_bound_under_jit():
  assert not collectives.is_bound()
  assert not jax.jit(lambda x: (x, collectives.is_bound()))(X)[1]
  np.testing.assert_array_equal(jax.jit(collectives.gather)(X), X)
  np.testing.assert_array_equal(jax.jit(collectives.mean)({"x": X})["x"], X)
  assert collectives.row_offset(4) == 0


def test_an_axis_is_bound_under_pmap():
  assert _one_device(lambda x: jnp.asarray(collectives.is_bound()) & (x.sum() > 0), X)
  np.testing.assert_array_equal(_one_device(collectives.gather, X), X)
  np.testing.assert_array_equal(_one_device(collectives.mean, X), X)


def test_gather_and_mean_are_differentiable():
  for fn in (collectives.gather, collectives.mean):
    gradient = _one_device(jax.grad(lambda x, fn=fn: jnp.sum(fn(x) ** 2)), X)
    np.testing.assert_allclose(gradient, 2 * X)


def test_example_keys_are_one_a_row_and_do_not_depend_on_the_batch():
  key = jax.random.key(0)
  four, two = (jax.random.key_data(collectives.example_keys(key, n)) for n in (4, 2))
  assert len(np.unique(four, axis=0)) == 4
  np.testing.assert_array_equal(four[:2], two)
  bound = jax.pmap(
    lambda _: jax.random.key_data(collectives.example_keys(key, 4)),
    axis_name=collectives.AXIS,
    devices=jax.devices()[:1],
  )(jnp.zeros(1))[0]
  np.testing.assert_array_equal(bound, four)

"""Without a bound axis every collective is the identity; eight devices are in losses/."""

import jax
import jax.numpy as jnp
import numpy as np
import simulated

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


def test_a_look_up_on_one_device_is_a_plain_one():
  rows = jnp.array([[2, 0], [3, 3]])
  np.testing.assert_array_equal(collectives.look_up(X, rows), X[rows])
  assert collectives.look_up(X, rows, dtype="bfloat16").dtype == jnp.bfloat16


LOOK_UP = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from pretrainjax import collectives
from pretrainjax.train.mesh import Axes
from pretrainjax.train.parallel import Parallel

table = jnp.arange(16 * 3.0).reshape(16, 3)
rows = jax.random.randint(jax.random.key(0), (8, 5), 0, 16)

def fn(table, rows):
  return jnp.sum(collectives.look_up(table, rows) ** 2)

for axes in (Axes(fsdp=8), Axes(fsdp=2, tensor=2), Axes(tensor=4), Axes()):
  mesh = Parallel(mesh=axes).device_mesh
  put = lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec))
  cut = (put(table, P(collectives.TABLES)), put(rows, P(collectives.ROWS)))
  with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
    np.testing.assert_array_equal(jax.jit(collectives.look_up)(*cut), table[rows])
    gradient = jax.jit(jax.grad(fn)).lower(*cut).compile()
  found, text = gradient(*cut), gradient.as_text()
  np.testing.assert_allclose(found, jax.grad(fn)(table, rows), rtol=1e-6)
  if axes != Axes():
    assert found.sharding.spec[0] is not None, found.sharding
    assert "f32[16,3]" not in text  # nowhere is the table whole
"""


def test_a_table_that_is_cut_by_rows_is_nowhere_whole():
  simulated.run_on_devices("-c", LOOK_UP)

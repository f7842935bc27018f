import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.drop import drop_path, dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
  y = dropout(jnp.ones((64, 100)), rate=0.3, deterministic=False, rngs=nnx.Rngs(0))
  np.testing.assert_allclose((y == 0).mean(), 0.3, atol=4 * np.sqrt(0.21 / 6400))
  np.testing.assert_allclose(jnp.unique(y), [0, 1 / 0.7], rtol=1e-6)


def test_drop_path_drops_whole_examples():
  y = drop_path(
    jnp.ones((4000, 2, 3)), rate=jnp.float32(0.25), deterministic=False, rngs=nnx.Rngs(0)
  )
  per_example = y.reshape(4000, -1)
  assert (per_example == per_example[:, :1]).all()
  share = (per_example[:, 0] == 0).mean()
  np.testing.assert_allclose(share, 0.25, atol=4 * np.sqrt(0.1875 / 4000))
  np.testing.assert_allclose(jnp.unique(y), [0, 4 / 3], rtol=1e-6)


def test_rows_do_not_depend_on_how_many_share_the_batch():
  x = jnp.ones((8, 50))
  whole = dropout(x, rate=0.5, deterministic=False, rngs=nnx.Rngs(0))
  part = dropout(x[:3], rate=0.5, deterministic=False, rngs=nnx.Rngs(0))
  np.testing.assert_array_equal(whole[:3], part)


def test_each_call_draws_anew():
  rngs, x = nnx.Rngs(0), jnp.ones((4, 50))
  first, second = (dropout(x, rate=0.5, deterministic=False, rngs=rngs) for _ in range(2))
  assert (first != second).any()


@pytest.mark.parametrize("options", [{"deterministic": True}, {"deterministic": False}])
def test_nothing_is_dropped_without_need(options):
  x = jax.random.normal(jax.random.key(0), (2, 3))
  rate = 0.0 if not options["deterministic"] else 0.5
  assert dropout(x, rate=rate, rngs=None, **options) is x
  assert drop_path(x, rate=None, rngs=None, **options) is x


def test_missing_keys_are_named():
  with pytest.raises(ValueError, match="needs rngs="):
    dropout(jnp.ones((2, 3)), rate=0.5, deterministic=False, rngs=None)

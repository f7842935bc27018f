import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.decoder import MAEDecoder

KEEP = jnp.array([[0, 2], [5, 1]])
HIDDEN = jnp.array([[1, 3, 4, 5], [4, 0, 2, 3]])


def decoder(**kwargs):
  sizes = {"grid": (2, 3), "patch_dim": 12, "encoder_dim": 16, "embed_dim": 8, "num_heads": 2}
  return MAEDecoder(**{**sizes, "num_layers": 2, **kwargs}, rngs=nnx.Rngs(0))


def tokens(num_prefix=1):
  return jax.random.normal(jax.random.key(0), (2, num_prefix + 2, 16))


@pytest.mark.parametrize("num_prefix", [0, 1, 3])
def test_hidden_is_a_part_of_all(num_prefix):
  model, x = decoder(num_prefix=num_prefix), tokens(num_prefix)
  hidden = model(x, keep=KEEP, hidden=HIDDEN)
  everything = model(x, keep=KEEP, hidden=HIDDEN, patches="all")
  assert hidden.shape == (2, 4, 12) and everything.shape == (2, 6, 12)
  expected = jnp.take_along_axis(everything, HIDDEN[:, :, None], axis=1)
  np.testing.assert_allclose(hidden, expected, atol=1e-5)


def test_order_of_visible_and_hidden_does_not_matter():
  model, x = decoder(), tokens()
  swapped = jnp.concatenate([x[:, :1], x[:, :0:-1]], axis=1)
  np.testing.assert_allclose(
    model(x, keep=KEEP, hidden=HIDDEN, patches="all"),
    model(swapped, keep=KEEP[:, ::-1], hidden=HIDDEN[:, ::-1], patches="all"),
    atol=1e-5,
  )


def test_bfloat16():
  half = decoder(dtype="bfloat16")(tokens(), keep=KEEP, hidden=HIDDEN)
  assert half.dtype == jnp.bfloat16
  wide = decoder()(tokens(), keep=KEEP, hidden=HIDDEN)
  np.testing.assert_allclose(half.astype(jnp.float32), wide, atol=0.1, rtol=0.1)


def windows_of(num_layers):
  """How far a change of the token of place 0, of 6 x 4, reaches in windows of 4 x 2."""
  model = decoder(grid=(6, 4), window=(4, 2), num_layers=num_layers)
  rest = [place for place in range(24) if place not in (0, 9)]
  keep, hidden = jnp.array([[0, 9]] * 3), jnp.array([rest] * 3)
  x = jnp.repeat(jax.random.normal(jax.random.key(0), (1, 3, 16)), 3, axis=0)
  x = x.at[1, 1].add(1.0).at[2, 0].add(1.0)
  first, second, other = model(x, keep=keep, hidden=hidden, patches="all")
  np.testing.assert_array_equal(first, other)  # tokens before the patches are left out
  return np.abs(first - second).max(-1).reshape(6, 4) > 0


def test_windows_that_are_shifted_every_second_layer():
  expected = np.zeros((6, 4), bool)
  expected[:4, :2] = True
  np.testing.assert_array_equal(windows_of(1), expected)
  expected[:, :3] = True  # rows 2 to 5 and columns 1 and 2 are one window of the second layer
  np.testing.assert_array_equal(windows_of(2), expected)


@pytest.mark.parametrize("window", [None, (2, 2)])
def test_padding_is_not_seen(window):
  model, x = decoder(window=window), tokens()
  valid = jnp.arange(6)[None] < jnp.array([[4], [6]])
  keep, hidden = jnp.array([[0, 5], [5, 1]]), jnp.array([[4, 1, 2, 3], [4, 0, 2, 3]])
  found = model(x, keep=keep, hidden=hidden, valid=valid)
  changed = model(x.at[0, 2].set(9.0), keep=keep, hidden=hidden, valid=valid)
  np.testing.assert_array_equal(found[0, 1:], changed[0, 1:])
  everywhere = model(x, keep=keep, hidden=hidden)
  np.testing.assert_allclose(found[1], everywhere[1], atol=1e-6)
  assert not np.allclose(found[0, 1:], everywhere[0, 1:])

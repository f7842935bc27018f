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

import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.models.text_encoder import TextEncoder
from pretrainjax.types import Encoder, Text


class Places(TextEncoder):
  """Each token's feature is its place."""

  def __init__(self, pool):
    self.vocab_size, self.max_length, self.embed_dim, self.pool = 9, 9, 2, pool

  def sequence(self, inputs, *, deterministic=True, rngs=None):
    batch, length = inputs.tokens.shape
    return jnp.broadcast_to(
      jnp.arange(length, dtype=jnp.float32)[None, :, None], (batch, length, 2)
    )


@pytest.mark.parametrize(
  ("pool", "expected"), [("cls", [1, 0]), ("mean", [2, 0.5]), ("last", [3, 1])]
)
def test_pools_what_is_valid(pool, expected):
  segments = jnp.array([[0, 1, 1, 2], [1, 1, 0, 0]])
  encoder = Places(pool)
  encoded = encoder(Text(jnp.ones((2, 4), jnp.int32), segments))
  assert isinstance(encoder, Encoder)
  np.testing.assert_array_equal(encoded.valid, segments > 0)
  np.testing.assert_allclose(encoded.pooled[:, 0], expected)


def test_tokens_alone_are_one_document_a_row():
  assert Places("last")(jnp.ones((1, 3), jnp.int32)).pooled.tolist() == [[2.0, 2.0]]


def test_text_is_read_whatever_else_a_batch_has():
  tokens, segments = np.full((2, 4), 7), np.ones((2, 4), np.int32)
  text = Places("cls").inputs({"image": None, "tokens": tokens, "segments": segments})
  assert text.tokens is tokens and text.segments is segments and text.types is None
  views = {"tokens": tokens[:, None], "segments": segments[:, None], "types": segments[:, None]}
  assert Places("cls").inputs(views) == Text(*views.values())


def test_text_is_encoded_whole():
  with pytest.raises(ValueError, match="keep: found indices, expected None"):
    Places("cls")(jnp.ones((1, 3), jnp.int32), keep=jnp.zeros((1, 1), jnp.int32))

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.text_tower import TextTower, end_of
from pretrainjax.types import Encoder, Text

SIZES = {"vocab_size": 11, "max_length": 7, "embed_dim": 8, "num_layers": 2, "num_heads": 2}
SIZES |= {"mlp_dim": 12}
TOKENS = np.array([[4, 9, 5, 9, 10], [3, 6, 10, 9, 1]], np.int32)
SIGLIP = {"causal": False, "pool": "last", "fill_id": 1}


def tower(**kwargs):
  return TextTower(**SIZES, **kwargs, rngs=nnx.Rngs(0))


def cut(tokens, lengths):
  """The same tokens, of which only the first ones of each row are a text."""
  return Text(tokens, (np.arange(tokens.shape[1]) < np.array(lengths)[:, None]).astype(np.int32))


def test_a_causal_one_sees_nothing_of_what_comes_later():
  changed = TOKENS.copy()
  changed[:, 3:] = 2
  for causal in (True, False):
    before, after = (tower(causal=causal)(tokens).tokens for tokens in (TOKENS, changed))
    assert np.allclose(before[:, :3], after[:, :3], atol=1e-6) == causal


@pytest.mark.parametrize(
  ("end_id", "lengths", "places"),
  [
    (9, (5, 5), [1, 3]),  # the first of two
    (9, (5, 3), [1, 0]),  # without one the first token
    (None, (5, 5), [4, 2]),  # the highest id
    (None, (4, 2), [1, 1]),  # padding has no part in it
  ],
)
def test_the_end_of_a_text(end_id, lengths, places):
  text, encoder = cut(TOKENS, lengths), tower(end_id=end_id)
  valid = jnp.asarray(text.segments) > 0
  assert end_of(jnp.asarray(TOKENS), valid=valid, end_id=end_id).tolist() == places
  encoded = encoder(text)
  expected = np.asarray(encoded.tokens)[np.arange(2), places]
  np.testing.assert_allclose(encoded.pooled, expected, atol=1e-6)
  np.testing.assert_array_equal(encoded.valid, valid)


@pytest.mark.parametrize("how", [{}, SIGLIP])
def test_padding_changes_nothing(how):
  encoder, longest = tower(end_id=9, **how), SIZES["max_length"]
  padded = np.pad(TOKENS, ((0, 0), (0, longest - 5)), constant_values=4)
  short, long = encoder(cut(TOKENS, (5, 5))), encoder(cut(padded, (5, 5)))
  assert isinstance(encoder, Encoder) and long.tokens.shape == (2, longest, 8)
  np.testing.assert_allclose(short.pooled, long.pooled, atol=1e-6)
  np.testing.assert_allclose(short.tokens, long.tokens[:, :5], atol=1e-6)
  np.testing.assert_allclose(encoder.sequence(cut(TOKENS, (5, 5))), short.tokens, atol=1e-6)


def test_a_row_is_filled_up_and_read_to_its_end():
  filled = np.pad(TOKENS[:, :2], ((0, 0), (0, 5)), constant_values=1)
  encoded = tower(**SIGLIP)(cut(TOKENS, (2, 2)))
  whole = tower(causal=False, pool="last")(filled)
  np.testing.assert_allclose(encoded.pooled, whole.tokens[:, -1], atol=1e-6)
  np.testing.assert_allclose(encoded.tokens[:, :2], whole.tokens[:, :2], atol=1e-6)
  unfilled = tower(causal=False, pool="last")(cut(TOKENS, (2, 2)))
  assert not np.allclose(encoded.pooled, unfilled.pooled, atol=1e-3)


def test_pooling_of_other_encoders_is_there_too():
  encoded = tower(pool="mean")(cut(TOKENS, (5, 3)))
  np.testing.assert_allclose(encoded.pooled[1], encoded.tokens[1, :3].mean(0), atol=1e-6)


def test_dropout_of_attention_needs_keys():
  encoder = tower(attention_dropout=0.5)
  once, again = (encoder(TOKENS, deterministic=False, rngs=nnx.Rngs(k)).pooled for k in (1, 2))
  assert not np.allclose(once, again)


def test_mistakes():
  with pytest.raises(ValueError, match="fill_id=11: expected a token below vocab_size=11"):
    tower(fill_id=11)
  with pytest.raises(ValueError, match="expected at most max_length=7"):
    tower()(np.zeros((1, 8), np.int32))
  with pytest.raises(ValueError, match="text is encoded whole"):
    tower()(TOKENS, keep=jnp.zeros((2, 1), jnp.int32))


def test_weights_that_end_a_branch_start_narrower():
  sizes = {"vocab_size": 50, "max_length": 64, "embed_dim": 64, "num_layers": 8, "num_heads": 2}
  model = TextTower(**sizes, mlp_dim=64, rngs=nnx.Rngs(0))
  stds = jax.tree.map(np.std, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
  np.testing.assert_allclose(stds["blocks"]["mlp"]["up"]["kernel"], 0.02, rtol=0.1)
  np.testing.assert_allclose(stds["blocks"]["mlp"]["down"]["kernel"], 0.02 / 4, rtol=0.1)

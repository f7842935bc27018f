import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.gpt import GPT
from pretrainjax.models.llama import Llama
from pretrainjax.types import Text

SIZES = {"vocab_size": 30, "max_length": 12, "embed_dim": 16, "num_layers": 2, "mlp_dim": 20}
MODELS = {
  "gpt": functools.partial(GPT, num_heads=2, **SIZES),
  "llama": functools.partial(Llama, num_heads=4, num_kv_heads=2, **SIZES),
}
MAKERS = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
TOKENS = np.random.default_rng(0).integers(0, 30, (2, 12)).astype(np.int32)
close = functools.partial(np.testing.assert_allclose, atol=1e-5)


@functools.cache
def made(make):
  model = make(rngs=nnx.Rngs(0))
  # Larger than at the start, so that tokens differ by what they see.
  graphdef, state = nnx.split(model)
  return nnx.merge(graphdef, jax.tree.map(lambda x: x * 5 if x.ndim > 1 else x, state))


@functools.cache
def encode(make):
  """Jitted: operations compiled one by one take longer."""
  graphdef, state = nnx.split(made(make))
  run = jax.jit(lambda state, text: nnx.merge(graphdef, state).sequence(text))
  return functools.partial(run, state)


def sequence(make, tokens, segments=None):
  tokens = jnp.asarray(tokens)
  text = tokens if segments is None else Text(tokens, jnp.asarray(segments))
  return encode(make)(text)


@MAKERS
def test_documents_of_a_packed_row_are_as_if_alone(make):
  segments = np.array([[1] * 5 + [2] * 3 + [3] * 4, [1] * 7 + [2] * 3 + [0] * 2])
  packed = sequence(make, TOKENS, segments)
  for row, document in ((0, 2), (0, 3), (1, 1)):
    place = segments[row] == document
    alone = sequence(make, TOKENS[row : row + 1, place])
    close(packed[row, place], alone[0])


@MAKERS
def test_padding_changes_nothing_on_either_side(make):
  alone = made(make)(jnp.asarray(TOKENS[:, :7]))
  for before, after in ((0, 5), (5, 0), (2, 3)):
    width = ((0, 0), (before, after))
    segments = jnp.asarray(np.pad(np.ones((2, 7), np.int32), width))
    padded = made(make)(Text(jnp.asarray(np.pad(TOKENS[:, :7], width)), segments))
    close(padded.tokens[:, before : before + 7], alone.tokens)
    close(padded.pooled, alone.pooled)
    np.testing.assert_array_equal(padded.valid, segments > 0)


@MAKERS
def test_no_token_sees_a_later_one(make):
  changed = TOKENS.copy()
  changed[:, 6] = (changed[:, 6] + 1) % 30
  before, after = sequence(make, TOKENS), sequence(make, changed)
  close(before[:, :6], after[:, :6])
  assert (np.abs(before[:, 6:] - after[:, 6:]).max(axis=-1) > 1e-3).all()


@MAKERS
def test_reading_in_steps_equals_reading_at_once(make):
  expected = sequence(make, TOKENS)
  model, tokens = made(make).unstacked(), jnp.asarray(TOKENS)
  cache = model.empty_cache(2, 12)
  places = jnp.broadcast_to(jnp.arange(12)[None], (2, 12))
  for start, end in ((0, 7), (7, 8), (8, 12)):
    x, cache = model.step(tokens[:, start:end], cache, places[:, start:end])
    close(x, expected[:, start:end])


@MAKERS
def test_an_unstacked_model_reads_as_the_stack_does(make):
  model, tokens = made(make).unstacked(), jnp.asarray(TOKENS)
  places = jnp.broadcast_to(jnp.arange(12)[None], (2, 12))
  _, caches = model.step(tokens[:, :7], model.empty_cache(2, 12), places[:, :7])
  x, _ = model.step(tokens[:, 7:8], caches, places[:, 7:8])
  close(x, sequence(make, TOKENS)[:, 7:8])


@MAKERS
def test_rows_of_a_cache_may_be_at_different_places(make):
  lengths = jnp.array([3, 6])
  places = jnp.broadcast_to(jnp.arange(6)[None], (2, 6))
  model = made(make).unstacked()
  cache = model.empty_cache(2, 12)
  # The shorter row reads three tokens of padding too, and then over them.
  _, cache = model.step(jnp.asarray(TOKENS[:, :6]), cache, places)
  step = jax.jit(model.step)
  for offset in range(4):
    place = (lengths + offset)[:, None]
    x, cache = step(jnp.take_along_axis(jnp.asarray(TOKENS), place, axis=1), cache, place)
  expected = sequence(make, TOKENS)
  close(x[:, 0], np.stack([expected[0, 6], expected[1, 9]]))


@MAKERS
def test_the_last_token_is_the_feature_and_all_arrays_have_their_dtype(make):
  model = make(dtype="bfloat16", rngs=nnx.Rngs(0))
  encoded = model(jnp.asarray(TOKENS))
  assert encoded.tokens.dtype == jnp.bfloat16
  assert all(c.keys.dtype == jnp.bfloat16 for c in model.unstacked().empty_cache(2, 4))
  np.testing.assert_array_equal(encoded.pooled, encoded.tokens[:, -1])
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(nnx.state(model, nnx.Param)))


@MAKERS
def test_refuses_what_it_cannot_read(make):
  with pytest.raises(ValueError, match="rows have 13 tokens: expected at most max_length=12"):
    sequence(make, np.zeros((1, 13), np.int32))
  with pytest.raises(ValueError, match="keep: found indices, expected None"):
    made(make)(jnp.asarray(TOKENS), keep=jnp.zeros((2, 1), int))
  for name in ("vocab_size", "max_length"):
    with pytest.raises(ValueError, match=f"{name}=0: expected at least 1"):
      make(**{name: 0}, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="dropout=1.0"):
    make(dropout=1.0, rngs=nnx.Rngs(0))

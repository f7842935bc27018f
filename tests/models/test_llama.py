import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.llama import Llama, llama_size

SIZES = {"vocab_size": 30, "max_length": 8, "embed_dim": 16, "num_layers": 1, "mlp_dim": 20}


def test_the_published_sizes_have_the_published_parameters():
  published = {
    ("smollm_135m", 49_152): 134_515_008,
    ("tiny_1b", 32_000): 1_100_048_384,
    ("7b", 32_000): 6_738_415_616,
    ("3_8b", 128_256): 8_030_261_248,
  }
  for (name, vocab_size), count in published.items():
    make = lambda name=name, vocab_size=vocab_size: Llama(  # noqa: E731
      vocab_size=vocab_size, max_length=8, rngs=nnx.Rngs(0), **llama_size(name)
    )
    params = nnx.state(nnx.eval_shape(make), nnx.Param)
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(params)) == count


def test_a_tied_head_is_the_table_of_tokens():
  tied = Llama(num_heads=2, tied=True, rngs=nnx.Rngs(0), **SIZES)
  assert tied.output_embedding is None
  assert (tied.output_table == tied.token_embedding[...]).all()
  own = Llama(num_heads=2, rngs=nnx.Rngs(0), **SIZES)
  assert (own.output_table == own.output_embedding[...]).all()
  assert not (own.output_table == own.token_embedding[...]).any()


def test_no_parameter_is_a_bias():
  model = Llama(num_heads=4, num_kv_heads=1, rngs=nnx.Rngs(0), **SIZES)
  paths = jax.tree_util.tree_leaves_with_path(nnx.state(model, nnx.Param))
  assert not [path for path, _ in paths if "bias" in jax.tree_util.keystr(path)]
  assert [c.keys.shape for c in model.unstacked().empty_cache(2, 5)] == [(2, 5, 1, 4)]


def test_refuses_heads_that_do_not_fit():
  with pytest.raises(ValueError, match="num_heads=16: expected a divisor of embed_dim / 2"):
    Llama(num_heads=16, rngs=nnx.Rngs(0), **SIZES)
  with pytest.raises(ValueError, match="num_kv_heads=3: expected a divisor of num_heads=4"):
    Llama(num_heads=4, num_kv_heads=3, rngs=nnx.Rngs(0), **SIZES)
  with pytest.raises(ValueError, match="head_dim=5: expected an even number"):
    Llama(num_heads=4, head_dim=5, rngs=nnx.Rngs(0), **SIZES)


def test_a_misspelt_size_is_answered_with_the_nearest():
  with pytest.raises(ValueError, match="size 'tiny'"):
    llama_size("tiny")


ADDITIONS = ({"window": 2}, {"qk_norm": True}, {"qkv_bias": True}, {"head_dim": 6})


@pytest.mark.parametrize("addition", ADDITIONS, ids=str)
def test_whole_texts_and_token_by_token_are_equal(addition):
  model = Llama(num_heads=4, num_kv_heads=2, rngs=nnx.Rngs(0), **SIZES, **addition)
  tokens = jax.random.randint(jax.random.key(1), (2, 7), 0, 30)
  reader, found = model.unstacked(), []
  caches = reader.empty_cache(2, 7)
  for i in range(7):
    features, caches = reader.step(tokens[:, i : i + 1], caches, jnp.full((2, 1), i))
    found.append(features)
  np.testing.assert_allclose(np.concatenate(found, 1), model.sequence(tokens), atol=1e-5)


def test_a_window_hides_what_is_farther_before():
  model = Llama(num_heads=4, window=2, rngs=nnx.Rngs(0), **SIZES)  # of one layer
  tokens = np.arange(7)[None] + 1
  other = tokens.copy()
  other[0, 0] = 20
  differ = (model.sequence(tokens) != model.sequence(other)).any(axis=-1)
  assert differ[0].tolist() == [True, True, True, False, False, False, False]


def test_norms_bear_queries_and_keys_of_any_size():
  model = Llama(num_heads=4, qk_norm=True, rngs=nnx.Rngs(0), **SIZES)
  tokens = np.arange(7)[None]
  expected = model.sequence(tokens)
  for layer in (model.blocks.attention.query, model.blocks.attention.key):
    layer.kernel[...] = layer.kernel[...] * 100
  np.testing.assert_allclose(model.sequence(tokens), expected, atol=1e-2)

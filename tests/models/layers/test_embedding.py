import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.models.layers.embedding import (
  as_text,
  check_length,
  embed,
  embed_types,
  pool_text,
)
from pretrainjax.types import Text

TOKENS = np.array([[3, 1, 4], [1, 5, 2]], np.int32)


def table(rows=6):
  return jnp.asarray(np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32))


def test_plain_tokens_are_one_document_a_row():
  text = as_text(TOKENS)
  np.testing.assert_array_equal(text.tokens, TOKENS)
  np.testing.assert_array_equal(text.segments, 1)
  assert text.types is None and as_text(text) is text


def test_embed_takes_rows_and_its_gradient_counts_them():
  np.testing.assert_array_equal(embed(table(), TOKENS), np.asarray(table())[TOKENS])
  gradient = jax.grad(lambda t: embed(t, TOKENS, dtype="bfloat16").sum().astype(jnp.float32))
  np.testing.assert_array_equal(gradient(table())[:, 0], np.bincount(TOKENS.ravel(), minlength=6))
  assert embed(table(), TOKENS, dtype="bfloat16").dtype == jnp.bfloat16


def test_no_types_are_type_0():
  zeros = embed_types(table(2), np.zeros_like(TOKENS))
  np.testing.assert_allclose(embed_types(table(2), None) + jnp.zeros((2, 3, 5)), zeros)
  types = np.array([[0, 1, 1], [1, 0, 0]])
  np.testing.assert_allclose(embed_types(table(2), types), np.asarray(table(2))[types], atol=1e-6)


def test_pooling_does_not_see_padding_on_either_side():
  tokens = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32))
  valid = jnp.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]], bool)
  pooled = {pool: pool_text(tokens, valid=valid, pool=pool) for pool in ("cls", "mean", "last")}
  np.testing.assert_array_equal(pooled["cls"], tokens[jnp.arange(3), jnp.array([0, 1, 0])])
  np.testing.assert_array_equal(pooled["last"], tokens[jnp.arange(3), jnp.array([1, 3, 3])])
  np.testing.assert_allclose(pooled["mean"][0], tokens[0, :2].mean(0), atol=1e-6)


def test_rows_too_long_are_refused():
  check_length(8, 8)
  with pytest.raises(ValueError, match="rows have 9 tokens: expected at most max_length=8"):
    check_length(9, 8)


def test_text_passes_through():
  text = Text(jnp.asarray(TOKENS), jnp.asarray(TOKENS), jnp.asarray(TOKENS))
  assert as_text(text).types is text.types

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.t5 import T5Decoder, T5Encoder, t5_size
from pretrainjax.types import Text

SIZES = {"vocab_size": 23, "embed_dim": 12, "num_layers": 2, "num_heads": 2, "head_dim": 4}
SIZES["mlp_dim"] = 16


@pytest.fixture(scope="module")
def encoder():
  return T5Encoder(**SIZES, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def decoder():
  return T5Decoder(**SIZES, rngs=nnx.Rngs(1))


TOKENS = jnp.asarray(np.random.default_rng(0).integers(1, 23, (2, 7)), jnp.int32)


def test_packed_documents_are_read_as_if_alone(encoder):
  packed = encoder.sequence(Text(TOKENS, jnp.array([[1, 1, 1, 2, 2, 2, 2]] * 2)))
  apart = [encoder.sequence(TOKENS[:, :3]), encoder.sequence(TOKENS[:, 3:])]
  np.testing.assert_allclose(packed, jnp.concatenate(apart, axis=1), atol=1e-4)


def test_padding_changes_nothing(encoder):
  valid = jnp.arange(7)[None] < jnp.array([[4], [4]])
  padded = encoder(Text(TOKENS, valid.astype(jnp.int32)))
  alone = encoder(TOKENS[:, :4])
  np.testing.assert_allclose(padded.pooled, alone.pooled, atol=1e-4)
  np.testing.assert_array_equal(padded.valid, valid)


def test_the_decoder_sees_what_comes_before_and_the_valid_context(encoder, decoder):
  table, context = encoder.token_embedding[...], encoder.sequence(TOKENS)
  valid = jnp.arange(7)[None] < jnp.array([[5], [5]])
  hidden = decoder(TOKENS, context, valid=valid, table=table)
  changed = decoder(TOKENS.at[:, 4].set(1), context, valid=valid, table=table)
  np.testing.assert_allclose(hidden[:, :4], changed[:, :4], atol=1e-5)
  assert not np.allclose(hidden[:, 4:], changed[:, 4:])
  elsewhere = decoder(TOKENS, context.at[:, 5:].set(9.0), valid=valid, table=table)
  np.testing.assert_allclose(hidden, elsewhere, atol=1e-5)


def test_tied_scores_are_by_the_encoders_table(encoder, decoder):
  tied = T5Decoder(**SIZES, tied=True, rngs=nnx.Rngs(1))
  table = encoder.token_embedding[...]
  assert tied.output_table is None
  np.testing.assert_array_equal(tied.scores_table(table), table)
  assert decoder.scores_table(table).shape == (23, 12)
  assert not np.allclose(decoder.scores_table(table), table)


def test_features_start_at_a_healthy_size(encoder, decoder):
  context = encoder.sequence(TOKENS)
  hidden = decoder(
    TOKENS, context, valid=jnp.ones((2, 7), bool), table=encoder.token_embedding[...]
  )
  logits = hidden @ decoder.scores_table(encoder.token_embedding[...]).T
  assert 0.3 < float(logits.std()) < 3


def test_dropout_needs_keys_and_changes_numbers():
  encoder = T5Encoder(**SIZES, dropout=0.3, rngs=nnx.Rngs(0))
  dropped = encoder.sequence(TOKENS, deterministic=False, rngs=nnx.Rngs(0))
  assert not np.allclose(dropped, encoder.sequence(TOKENS))
  with pytest.raises(ValueError, match="needs rngs"):
    encoder.sequence(TOKENS, deterministic=False)


def test_refuses_what_it_does_not_know(encoder):
  with pytest.raises(ValueError, match="keep: found indices"):
    encoder(TOKENS, keep=jnp.zeros((2, 1), jnp.int32))
  with pytest.raises(ValueError, match="size 'bas'; did you mean 'base'"):
    t5_size("bas")

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.bert import BERT, bert_size
from pretrainjax.types import Encoder, Text

SIZES = {"vocab_size": 19, "max_length": 12, "embed_dim": 8, "num_layers": 2, "num_heads": 2}


def tiny(**changes):
  # Larger initial weights, so that what must not matter would be seen.
  sizes = {**SIZES, "mlp_dim": 12, "init_std": 0.3, **changes}
  return BERT(**sizes, rngs=nnx.Rngs(0))


def text(seed=0, types=False):
  """Rows of 9: documents of 4 and 3, one of 9, one of 5."""
  rng = np.random.default_rng(seed)
  segments = np.array([[1] * 4 + [2] * 3 + [0] * 2, [1] * 9, [1] * 5 + [0] * 4], np.int32)
  tokens = np.where(segments > 0, rng.integers(5, 19, segments.shape), 0).astype(np.int32)
  return Text(tokens, segments, (rng.integers(0, 2, (3, 9)).astype(np.int32) if types else None))


def run(encoder, inputs):
  graphdef, state = nnx.split(encoder)
  return jax.jit(lambda s, x: nnx.merge(graphdef, s).sequence(x))(state, inputs)


def num_params(make):
  params = nnx.state(nnx.eval_shape(make), nnx.Param)
  return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
  ("size", "published"),
  # BertModel of bert-base-uncased and bert-large-uncased; without their poolers.
  [("base", 109_482_240 - 768 * 769), ("large", 335_141_888 - 1024 * 1025)],
)
def test_parameter_counts_are_the_published_ones(size, published):
  sizes = {"vocab_size": 30_522, "max_length": 512, **bert_size(size)}
  assert num_params(lambda: BERT(**sizes, rngs=nnx.Rngs(0))) == published


def test_electra_small_has_the_parameters_of_google_electra_small():
  sizes = {"vocab_size": 30_522, "max_length": 512, **bert_size("electra_small")}
  assert num_params(lambda: BERT(**sizes, rngs=nnx.Rngs(0))) == 13_483_008


def test_bert_size_names_the_nearest():
  with pytest.raises(ValueError, match="size 'bas'; did you mean 'base'"):
    bert_size("bas")


@pytest.mark.parametrize("pool", ["cls", "mean", "last"])
def test_shapes(pool):
  encoder = tiny(pool=pool, embedding_dim=6)
  assert isinstance(encoder, Encoder)
  assert (encoder.embed_dim, encoder.vocab_size, encoder.max_length) == (8, 19, 12)
  encoded = encoder(text())
  assert encoded.tokens.shape == (3, 9, 8) and encoded.pooled.shape == (3, 8)
  np.testing.assert_array_equal(encoded.valid, text().segments > 0)


def test_plain_tokens_are_one_document_a_row():
  tokens = text().tokens
  expected = run(tiny(), Text(tokens, np.ones_like(tokens)))
  np.testing.assert_allclose(run(tiny(), tokens), expected, atol=1e-6)


@pytest.mark.parametrize("types", [False, True])
def test_packed_documents_are_encoded_as_if_alone(types):
  whole = text(types=types)
  packed = run(tiny(), whole)
  for row, document in ((0, 1), (0, 2), (2, 1)):
    places = np.flatnonzero(whole.segments[row] == document)
    alone = Text(*(None if x is None else x[row, places][None] for x in whole))
    alone = alone._replace(segments=np.ones_like(alone.tokens))
    np.testing.assert_allclose(packed[row, places], run(tiny(), alone)[0], atol=1e-5)


def test_padding_changes_nothing_on_either_side():
  tokens = text().tokens[2:, :5]
  expected = run(tiny(), tokens)[0]
  for before in (0, 4):
    segments = np.zeros((1, 9), np.int32)
    segments[:, before : before + 5] = 1
    padded = np.full((1, 9), 7, np.int32)
    padded[:, before : before + 5] = tokens
    found = tiny()(Text(padded, segments))
    np.testing.assert_allclose(found.tokens[0, before : before + 5], expected, atol=1e-5)
    np.testing.assert_allclose(found.pooled[0], expected[0], atol=1e-5)


def test_one_type_ignores_types():
  with_types, without = text(types=True), text(types=False)
  np.testing.assert_array_equal(run(tiny(num_types=1), with_types), run(tiny(num_types=1), without))
  assert (run(tiny(), with_types) != run(tiny(), without)).any()


def test_no_types_have_no_table():
  encoder = tiny(num_types=0)
  assert encoder.type_embedding is None
  np.testing.assert_array_equal(run(encoder, text(types=True)), run(encoder, text(types=False)))


def test_bfloat16_is_near_float32_and_keeps_float32_parameters():
  half = tiny(dtype="bfloat16", embedding_dim=6)
  assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half))} == {jnp.dtype("float32")}
  found = half(text()).tokens
  assert found.dtype == jnp.bfloat16
  expected = tiny(embedding_dim=6)(text()).tokens
  np.testing.assert_allclose(found.astype(jnp.float32), expected, atol=0.15)


def test_dropout_needs_and_uses_keys():
  encoder = tiny(dropout=0.1, attention_dropout=0.1)
  with pytest.raises(ValueError, match="needs rngs="):
    encoder(text(), deterministic=False)
  runs = [encoder(text(), deterministic=False, rngs=nnx.Rngs(seed)).pooled for seed in (0, 0, 1)]
  np.testing.assert_array_equal(runs[0], runs[1])
  assert (runs[0] != runs[2]).any()


def test_initial_weights_are_a_normal_distribution_cut_at_two_of_its_std():
  table = np.asarray(tiny(vocab_size=4000, init_std=0.02).token_embedding[...])
  assert abs(table).max() <= 0.04 and 0.0174 < table.std() < 0.0178  # 0.88 of it after the cut


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"num_heads": 3}, "num_heads=3: expected a divisor of embed_dim=8"),
    ({"dropout": 1.0}, r"dropout=1.0: expected in \[0, 1\)"),
    ({"num_types": -1}, "num_types=-1: expected at least 0"),
  ],
)
def test_mistakes_are_named(arguments, message):
  with pytest.raises(ValueError, match=message):
    tiny(**arguments)


def test_rows_too_long_and_keep_are_refused():
  with pytest.raises(ValueError, match="rows have 13 tokens: expected at most max_length=12"):
    tiny()(np.ones((1, 13), np.int32))
  with pytest.raises(ValueError, match="keep: found indices, expected None"):
    tiny()(text(), keep=jnp.zeros((3, 1), int))


def test_pre_norm_ends_with_a_norm():
  x = run(tiny(order="pre"), text())
  np.testing.assert_allclose(x.mean(-1), 0, atol=1e-5)
  np.testing.assert_allclose(x.std(-1), 1, atol=1e-3)
  assert tiny().norm is None

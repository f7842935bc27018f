import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models import modern_bert
from pretrainjax.models.modern_bert import ModernBERT, modern_bert_size
from pretrainjax.types import Encoder, Text

SIZES = {"vocab_size": 19, "max_length": 12, "embed_dim": 8, "num_layers": 5, "num_heads": 2}


def tiny(**changes):
  # Larger initial weights, so that what must not matter would be seen.
  sizes = {**SIZES, "mlp_dim": 12, "window": 4, "init_std": 0.3, **changes}
  return ModernBERT(**sizes, rngs=nnx.Rngs(0))


def text(seed=0):
  """Rows of 9: documents of 4 and 3, one of 9, one of 5."""
  rng = np.random.default_rng(seed)
  segments = np.array([[1] * 4 + [2] * 3 + [0] * 2, [1] * 9, [1] * 5 + [0] * 4], np.int32)
  return Text(rng.integers(5, 19, segments.shape).astype(np.int32), segments)


def run(encoder, inputs, method=ModernBERT.sequence):
  graphdef, state = nnx.split(encoder)
  return jax.jit(lambda s, x: method(nnx.merge(graphdef, s), x))(state, inputs)


def num_params(make):
  params = nnx.state(nnx.eval_shape(make), nnx.Param)
  return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
  ("size", "published"),
  # ModernBertForMaskedLM of answerdotai; without dense layer, norm and bias of its head.
  [
    ("base", 149_655_232 - 768 * 769 - 50_368),
    ("large", 395_881_664 - 1024 * 1025 - 50_368),
  ],
)
def test_parameter_counts_are_the_published_ones(size, published):
  sizes = {"vocab_size": 50_368, "max_length": 8192, **modern_bert_size(size)}
  assert num_params(lambda: ModernBERT(**sizes, rngs=nnx.Rngs(0))) == published


def test_modern_bert_size_names_the_nearest():
  with pytest.raises(ValueError, match="size 'larg'; did you mean 'large'"):
    modern_bert_size("larg")


@pytest.mark.parametrize("pool", ["cls", "mean", "last"])
def test_shapes(pool):
  encoder = tiny(pool=pool)
  assert isinstance(encoder, Encoder)
  assert (encoder.embed_dim, encoder.vocab_size, encoder.max_length) == (8, 19, 12)
  encoded = run(encoder, text(), ModernBERT.__call__)
  assert encoded.tokens.shape == (3, 9, 8) and encoded.pooled.shape == (3, 8)
  np.testing.assert_array_equal(encoded.valid, text().segments > 0)


def test_there_are_no_biases():
  names = {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(tiny()))}
  assert not [name for name in names if "bias" in name]
  assert "stem/norm2/scale" in names and "stem/norm1/scale" not in names


def test_packed_documents_are_encoded_as_if_alone():
  whole = text()
  packed = run(tiny(), whole)
  for row, document in ((0, 1), (0, 2), (2, 1)):
    places = np.flatnonzero(whole.segments[row] == document)
    alone = run(tiny(), whole.tokens[row, places][None])[0]
    np.testing.assert_allclose(packed[row, places], alone, atol=1e-5)


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


def _seen_by_the_first(**changes):
  """Places whose token moves the feature of place 0."""
  tokens = np.arange(5, 14, dtype=np.int32)[None].repeat(10, axis=0)
  tokens[np.arange(1, 10), np.arange(9)] = 18
  found = np.asarray(run(tiny(**changes), tokens))[:, 0]
  return [place for place in range(9) if not np.allclose(found[1 + place], found[0], atol=1e-6)]


def test_local_layers_see_half_a_window_to_each_side_and_global_ones_all():
  # The stem, layer 0, is global: it sees all. Then, of what it does not tell, nothing is left.
  encoder = tiny(num_layers=2)
  seen = []
  original = encoder.stem
  encoder.stem = lambda x, *, scope, **_: (seen.append(scope), x)[1]
  near = np.asarray(encoder.sequence(np.arange(5, 14)[None].astype(np.int32)))[0, 0]
  for place in range(1, 9):
    tokens = np.arange(5, 14, dtype=np.int32)[None].copy()
    tokens[0, place] = 18
    moved = not np.allclose(encoder.sequence(tokens)[0, 0], near, atol=1e-6)
    assert moved == (place <= 2), place
  assert seen[0].window is None and seen[0].rotary is not None
  encoder.stem = original
  assert _seen_by_the_first(num_layers=2) == list(range(9))


@pytest.mark.parametrize(("every", "windows"), [(3, [2, 2, None]), (2, [2, None]), (1, [None])])
def test_layers_take_turns_of_which_the_first_is_the_stem(monkeypatch, every, windows):
  """Layers 0, n, 2 n, ... are global; the stack begins with layer 1 and takes turns in order."""
  seen = []

  def spy(blocks, x, *, scopes, **_):
    seen.extend(scope.window for scope in scopes)
    return x

  monkeypatch.setattr(modern_bert, "run_stack", spy)
  tiny(num_layers=2, global_every=every)(text())
  assert seen == windows


def test_bfloat16_is_near_float32_and_keeps_float32_parameters():
  half = tiny(dtype="bfloat16")
  assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half))} == {jnp.dtype("float32")}
  found = half(text()).tokens
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(found.astype(jnp.float32), tiny()(text()).tokens, atol=0.15)


def test_dropout_needs_and_uses_keys():
  encoder = tiny(dropout=0.1, attention_dropout=0.1)
  with pytest.raises(ValueError, match="needs rngs="):
    encoder(text(), deterministic=False)
  runs = [encoder(text(), deterministic=False, rngs=nnx.Rngs(seed)).pooled for seed in (0, 0, 1)]
  np.testing.assert_array_equal(runs[0], runs[1])
  assert (runs[0] != runs[2]).any()


def test_initial_weights_shrink_where_a_branch_ends():
  encoder = tiny(embed_dim=64, num_layers=8, mlp_dim=64, init_std=0.02)
  inner = np.asarray(encoder.blocks.mlp.gate.kernel[...])
  last = np.asarray(encoder.blocks.mlp.down.kernel[...])
  np.testing.assert_allclose(inner.std() / last.std(), 4, rtol=0.05)  # sqrt(2 * 8)
  assert abs(inner).max() <= 0.06


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"num_heads": 3}, "num_heads=3: expected a divisor of embed_dim=8"),
    ({"num_layers": 1}, "num_layers=1: expected in .2, 10000."),
    ({"window": 5}, "window=5: expected an even number"),
    ({"global_every": 0}, "global_every=0: expected at least 1"),
    ({"attention_dropout": -0.1}, "attention_dropout=-0.1"),
  ],
)
def test_mistakes_are_named(arguments, message):
  with pytest.raises(ValueError, match=message):
    tiny(**arguments)


def test_keep_is_refused():
  with pytest.raises(ValueError, match="keep: found indices, expected None"):
    tiny()(text(), keep=jnp.zeros((3, 1), int))

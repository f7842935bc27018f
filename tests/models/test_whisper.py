import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.whisper import WhisperDecoder, WhisperEncoder, sinusoids, whisper_size
from pretrainjax.types import Encoder, Sound

SIZES = {"embed_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
AUDIO = np.random.default_rng(0).integers(-9000, 9000, (2, 4300)).astype(np.int16)


@pytest.fixture(scope="module")
def encoder():
  return WhisperEncoder(num_mels=6, length=15, **SIZES, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def decoder():
  return WhisperDecoder(vocab_size=11, max_length=9, **SIZES, init_std=0.5, rngs=nnx.Rngs(1))


def test_padding_of_a_batch_changes_nothing(encoder):
  assert isinstance(encoder, Encoder)
  sound = encoder.inputs({"audio": AUDIO, "num_samples": np.array([4300, 2113])})
  both = encoder(sound)
  alone = encoder(Sound(AUDIO[1:, :2113], np.array([2113])))
  assert both.valid.sum(1).tolist() == [14, 7]
  np.testing.assert_array_equal(encoder.valid(sound), both.valid)
  np.testing.assert_allclose(both.tokens[1], alone.tokens[0], atol=2e-5)
  np.testing.assert_allclose(both.pooled[1], alone.pooled[0], atol=2e-5)


def test_positions_get_no_gradient(encoder):
  graphdef, params = nnx.split(encoder)
  sound = Sound(AUDIO, np.array([4300, 2113]))

  def total(params):
    return jnp.sum(nnx.merge(graphdef, params)(sound).tokens[:, 3, 2])

  gradient = jax.grad(total)(params)
  assert not gradient["position_table"][...].any() and gradient["conv1"]["kernel"][...].any()
  table = sinusoids(3, 4)
  expected = [[np.sin(n), np.sin(n * 1e-4), np.cos(n), np.cos(n * 1e-4)] for n in range(3)]
  np.testing.assert_allclose(table, expected, atol=1e-6)


def test_token_by_token_is_as_all_at_once(decoder):
  tokens = jnp.asarray(np.random.default_rng(0).integers(0, 11, (2, 7)), jnp.int32)
  context = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 8)), jnp.float32)
  whole = decoder(tokens, context)
  steps = decoder.unstacked()
  contexts, caches, found = steps.remember(context), steps.empty_cache(2, 9), []
  for start, end in ((0, 3), (3, 4), (4, 7)):
    places = jnp.broadcast_to(jnp.arange(start, end)[None], (2, end - start))
    x, caches = steps.step(tokens[:, start:end], caches, places, contexts=contexts)
    found.append(x)
  np.testing.assert_allclose(jnp.concatenate(found, axis=1), whole, atol=1e-5)
  assert decoder.logits(whole).shape == (2, 7, 11)


@pytest.mark.parametrize("hears_padding", [True, False])
def test_padding_is_heard_where_it_is_silence(hears_padding):
  sizes = {"vocab_size": 11, "max_length": 9, "hears_padding": hears_padding, "init_std": 0.5}
  decoder = WhisperDecoder(**SIZES, **sizes, rngs=nnx.Rngs(1))
  tokens = jnp.asarray(np.random.default_rng(0).integers(0, 11, (2, 4)), jnp.int32)
  context = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 8)), jnp.float32)
  valid = jnp.arange(5)[None] < jnp.array([[3], [5]])
  whole = decoder(tokens, context, valid=valid)
  cut = decoder(tokens[:1], context[:1, :3])
  assert np.allclose(whole[0], cut[0], atol=1e-5) != hears_padding
  np.testing.assert_allclose(whole[1], decoder(tokens, context)[1], atol=1e-5)
  steps = decoder.unstacked()
  contexts, caches = steps.remember(context, valid), steps.empty_cache(2, 9)
  places = jnp.broadcast_to(jnp.arange(4)[None], (2, 4))
  found, _ = steps.step(tokens, caches, places, contexts=contexts)
  np.testing.assert_allclose(found, whole, atol=1e-5)


def test_keys_have_no_bias(encoder, decoder):
  for network in (encoder, decoder):
    attention = network.blocks.attention
    assert attention.key.bias is None and attention.query.bias is not None
  assert decoder.blocks.cross_attention.key.bias is None


def test_what_does_not_fit_is_refused(encoder, decoder):
  with pytest.raises(ValueError, match="masked: this encoder has no vector"):
    encoder(Sound(AUDIO, np.array([1, 2])), masked=jnp.zeros((2, 15), bool))
  with pytest.raises(ValueError, match="expected below vocab_size=11"):
    WhisperDecoder(vocab_size=11, end_id=11, **SIZES, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="embed_dim=5: sinusoids need an even number"):
    sinusoids(3, 5)
  assert whisper_size("base")["num_layers"] == 6

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.wav2vec2 import Wav2Vec2
from pretrainjax.types import Encoder, Sound

SIZES = {"embed_dim": 12, "num_layers": 2, "num_heads": 2, "mlp_dim": 16}
SIZES |= {"conv_dims": (6, 8, 8), "conv_sizes": (10, 3, 2), "conv_strides": (5, 2, 2)}
SIZES |= {"position_size": 8, "position_groups": 3}
RNG = np.random.default_rng(0)
AUDIO = RNG.integers(-9000, 9000, (2, 610)).astype(np.int16)
KINDS = {
  "base": {},
  "large": {"conv_norm": "layer", "order": "pre", "conv_bias": True},
  "odd": {"position_norm": "batch", "position_size": 7, "feature_norm": False},
}


@pytest.fixture(scope="module", params=KINDS)
def encoder(request):
  encoder = Wav2Vec2(**SIZES | KINDS[request.param], rngs=nnx.Rngs(0))
  state = nnx.state(encoder, (nnx.Param, nnx.BatchStat))
  rng = np.random.default_rng(1)
  moved = jax.tree.map(lambda x: x + rng.uniform(0, 0.2, x.shape).astype(np.float32), state)
  nnx.update(encoder, moved)
  return encoder


def test_padding_changes_nothing(encoder):
  assert isinstance(encoder, Encoder)
  batch = {"audio": AUDIO, "num_samples": np.array([610, 333])}
  both = encoder(encoder.inputs(batch))
  alone = encoder(Sound(AUDIO[1:, :333], np.array([333])))
  count = alone.tokens.shape[1]
  np.testing.assert_array_equal(encoder.valid(encoder.inputs(batch)), both.valid)
  assert (both.valid.sum(1).tolist(), alone.valid.all()) == ([30, count], True)
  np.testing.assert_allclose(both.tokens[1, :count], alone.tokens[0], atol=2e-5)
  np.testing.assert_allclose(both.pooled[1], alone.pooled[0], atol=2e-5)


def test_hidden_frames_are_known_by_their_surroundings_only(encoder):
  sound = Sound(AUDIO, np.array([610, 600]))
  frames = encoder.features(sound)
  masked = jnp.zeros(frames.valid.shape, bool).at[:, 4:7].set(True)
  found = encoder.encode(frames, masked=masked).tokens
  changed = frames._replace(features=frames.features.at[:, 4:7].set(3.0))
  np.testing.assert_array_equal(encoder.encode(changed, masked=masked).tokens, found)
  assert not np.allclose(encoder(sound).tokens, found)
  np.testing.assert_array_equal(encoder(sound, masked=masked).tokens, found)


@pytest.mark.parametrize("length", [0, 1, 25])
def test_a_sound_shorter_than_a_frame_has_numbers(encoder, length):
  found = encoder(Sound(np.ones((1, 25), np.int16), np.array([length])))
  assert not found.valid.any() and np.isfinite(found.tokens).all()
  assert not found.pooled.any()


def test_loudness_does_not_matter_where_samples_are_normalised():
  audio = AUDIO.astype(np.float32) / 32768
  for normalise in (True, False):
    encoder = Wav2Vec2(**SIZES, **KINDS["large"], normalise=normalise, rngs=nnx.Rngs(0))
    encoder.waveform.conv0.bias[...] = jnp.arange(6.0)
    features = [encoder.features(Sound(a, np.array([610, 610]))) for a in (audio, audio * 3 + 0.1)]
    is_same = np.allclose(features[0].features, features[1].features, atol=1e-3)
    assert is_same == normalise


def test_a_batch_norm_counts_real_frames_only():
  encoder = Wav2Vec2(**SIZES | KINDS["odd"], rngs=nnx.Rngs(0))
  frames = encoder.features(Sound(AUDIO, np.array([610, 333])))
  noisy = jnp.where(frames.valid[..., None], frames.features, 50.0)
  found = []
  for features in (frames.features, noisy):
    copy = nnx.clone(encoder)
    copy.encode(frames._replace(features=features), deterministic=False)
    found.append(copy.position.norm.mean[...])
  np.testing.assert_array_equal(*found)
  assert found[0].any()


def test_dropout_needs_keys():
  encoder = Wav2Vec2(**SIZES, feature_dropout=0.5, rngs=nnx.Rngs(0))
  sound = Sound(AUDIO, np.array([610, 333]))
  with pytest.raises(ValueError, match="needs rngs"):
    encoder(sound, deterministic=False)
  dropped = encoder(sound, deterministic=False, rngs=nnx.Rngs(0))
  assert not np.allclose(dropped.tokens, encoder(sound).tokens)


def test_what_does_not_fit_is_refused():
  encoder = Wav2Vec2(**SIZES, use_mask=False, rngs=nnx.Rngs(0))
  sound = Sound(AUDIO, np.array([610, 333]))
  with pytest.raises(ValueError, match="masked: this encoder has no vector"):
    encoder(sound, masked=jnp.zeros((2, 30), bool))
  with pytest.raises(ValueError, match="keep: found indices"):
    encoder(sound, keep=jnp.zeros((2, 1), jnp.int32))
  with pytest.raises(ValueError, match="conv_dims, conv_sizes, conv_strides: found 2, 3, 3"):
    Wav2Vec2(**SIZES | {"conv_dims": (6, 8)}, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="groups=5: expected a divisor of embed_dim=12"):
    Wav2Vec2(**SIZES | {"position_groups": 5}, rngs=nnx.Rngs(0))

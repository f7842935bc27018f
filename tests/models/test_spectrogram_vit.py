import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.frames import Frames
from pretrainjax.models.spectrogram_vit import SpectrogramViT
from pretrainjax.types import Encoder, Sound

SIZES = {"num_mels": 12, "length": 26, "patch_size": 4, "embed_dim": 8, "num_layers": 2}
SIZES |= {"num_heads": 2, "mlp_dim": 12}
AUDIO = np.random.default_rng(0).integers(-9000, 9000, (2, 4300)).astype(np.int16)
KINDS = {
  "ours": {},
  "overlapping": {"stride": (3, 2), "num_prefix": 1, "pool": "prefix", "normalise": "fixed"},
  "ast": {"padded": True, "stride": (3, 2), "num_prefix": 2, "position": "learned"},
}


@pytest.fixture(scope="module", params=KINDS)
def encoder(request):
  return SpectrogramViT(**SIZES | KINDS[request.param], rngs=nnx.Rngs(0))


@pytest.mark.parametrize("length", [2113, 400])
def test_padding_changes_nothing(encoder, length):
  assert isinstance(encoder, Encoder)
  sound = encoder.inputs({"audio": AUDIO, "num_samples": np.array([4300, length])})
  both = encoder(sound)
  alone = encoder(Sound(AUDIO[1:, :length], np.array([length])))
  count = int(alone.valid.sum())
  assert both.valid[1].sum() == count > 0
  np.testing.assert_array_equal(encoder.valid(sound), both.valid)
  np.testing.assert_allclose(both.tokens[1, :count], alone.tokens[0, :count], atol=5e-5)
  np.testing.assert_allclose(both.pooled[1], alone.pooled[0], atol=5e-5)


def test_patches_are_in_the_order_of_time_then_of_bands(encoder):
  values = jnp.arange(26 * 12.0).reshape(1, 26, 12)
  found = encoder.patches(Frames(values, jnp.ones((1, 26), bool)))
  bands, frames = encoder.stride
  columns = (12 - 4) // bands + 1
  second, above = found[0, columns], found[0, 1]
  np.testing.assert_array_equal(second.reshape(4, 4), values[0, frames : frames + 4, :4])
  np.testing.assert_array_equal(above.reshape(4, 4), values[0, :4, bands : bands + 4])


def test_the_last_frames_are_in_a_patch():
  encoder = SpectrogramViT(**SIZES, rngs=nnx.Rngs(0))
  assert encoder.grid == (7, 3)
  assert SpectrogramViT(**SIZES, padded=True, rngs=nnx.Rngs(0)).grid == (6, 3)


def test_only_kept_patches_are_seen(encoder):
  sound = Sound(AUDIO, np.array([4300, 4200]))
  keep = jnp.array([[0, 2, 3], [1, 4, 2]])
  found = encoder(sound, keep=keep)
  assert found.tokens.shape == (2, 3, 8) and found.valid.all()
  frames = encoder.features(sound)
  changed = frames._replace(features=frames.features.at[:, 16:].set(5.0))
  np.testing.assert_array_equal(encoder.encode(changed, keep=keep).tokens, found.tokens)


def test_patches_at_some_places_and_which_of_their_values_are_real():
  encoder = SpectrogramViT(**SIZES, rngs=nnx.Rngs(0))
  assert encoder.patch_dim == 16
  sound = Sound(AUDIO, np.array([4300, 2000]))  # 25 and 11 frames: 7 and 3 patches in time
  assert encoder.mask_shape(sound) == (2, 21)
  places = jnp.array([[20, 3, 0], [9, 6, 2]])
  found, frames = encoder.patches_at(sound, places), encoder.features(sound)
  spectrogram = np.pad(np.asarray(frames.features), ((0, 0), (0, 3), (0, 0)))
  for row, column in np.ndindex(2, 3):
    time, band = divmod(int(places[row, column]), 3)
    expected = spectrogram[row, 4 * time : 4 * time + 4, 4 * band : 4 * band + 4].reshape(-1)
    np.testing.assert_array_equal(found.values[row, column], expected)
  real = found.real.reshape(2, 3, 4, 4).sum((2, 3))  # 4 values a frame
  assert real.tolist() == [[4, 16, 16], [0, 12, 16]]


def test_hidden_patches():
  encoder = SpectrogramViT(**SIZES, use_mask=True, rngs=nnx.Rngs(0))
  sound = Sound(AUDIO, np.array([4300, 4200]))
  masked = jnp.zeros((2, 21), bool).at[:, :3].set(True)
  frames = encoder.features(sound)
  changed = frames._replace(features=frames.features.at[:, :4].set(5.0))
  found = encoder.encode(frames, masked=masked).tokens
  np.testing.assert_array_equal(encoder.encode(changed, masked=masked).tokens, found)
  assert not np.allclose(encoder(sound).tokens, found)


@pytest.mark.parametrize(
  "wrong, said",
  [
    ({"patch_size": 13}, "patch_size=13: expected at most num_mels=12"),
    ({"pool": "prefix"}, "pool='prefix': expected num_prefix"),
  ],
)
def test_what_does_not_fit_is_refused(wrong, said):
  with pytest.raises(ValueError, match=said):
    SpectrogramViT(**SIZES | wrong, rngs=nnx.Rngs(0))


def test_sound_that_is_too_long_is_refused():
  encoder = SpectrogramViT(**SIZES | {"length": 20}, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="length=20: found 25 frames"):
    encoder(Sound(AUDIO, np.array([4300, 4200])))

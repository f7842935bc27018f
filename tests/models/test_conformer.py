import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.conformer import Conformer, conformer_size
from pretrainjax.types import Encoder, Sound

SIZES = {"num_mels": 10, "embed_dim": 12, "num_layers": 2, "num_heads": 3, "mlp_dim": 16}
SIZES |= {"conv_size": 5}
AUDIO = np.random.default_rng(0).integers(-9000, 9000, (2, 4300)).astype(np.int16)


@pytest.fixture(scope="module")
def encoder():
  return Conformer(**SIZES, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("length", [2113, 1999, 560, 400])
def test_padding_changes_nothing(encoder, length):
  assert isinstance(encoder, Encoder)
  sound = encoder.inputs({"audio": AUDIO, "num_samples": np.array([4300, length])})
  both = encoder(sound)
  alone = encoder(Sound(AUDIO[1:, :length], np.array([length])))
  count = alone.tokens.shape[1]
  assert both.valid[0].all() and both.valid[1].sum() == count and alone.valid.all()
  np.testing.assert_array_equal(encoder.valid(sound), both.valid)
  np.testing.assert_allclose(both.tokens[1, :count], alone.tokens[0], atol=5e-5)
  np.testing.assert_allclose(both.pooled[1], alone.pooled[0], atol=5e-5)


def test_hidden_frames_are_known_by_their_surroundings_only(encoder):
  sound = Sound(AUDIO, np.array([4300, 4000]))
  frames = encoder.features(sound)
  masked = jnp.zeros((2, 7), bool).at[:, 3].set(True)
  found = encoder.encode(frames, masked=masked).tokens
  # The middle frame of the five that token 3 is made of is read by no other.
  changed = frames._replace(features=frames.features.at[:, 12].set(3.0))
  np.testing.assert_array_equal(encoder.encode(changed, masked=masked).tokens, found)
  assert not np.allclose(encoder.encode(changed).tokens, encoder(sound).tokens)


def test_gradients_reach_every_parameter_and_silence_has_numbers(encoder):
  graphdef, params = nnx.split(encoder)
  weight = np.random.default_rng(1).normal(size=(2, 7, 12)).astype(np.float32)
  masked = jnp.zeros((2, 7), bool).at[:, 3].set(True)

  def loss(params, sound):
    found = nnx.merge(graphdef, params)(sound, masked=masked)
    return jnp.sum(found.tokens * weight)

  gradient = jax.jit(jax.grad(loss))
  for sound in (Sound(AUDIO, np.array([4300, 4000])), Sound(AUDIO * 0, np.array([4300, 0]))):
    found = gradient(params, sound)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
  found = gradient(params, Sound(AUDIO, np.array([4300, 4000])))
  zero = [path for path, leaf in nnx.to_flat_state(found) if not np.any(leaf[...])]
  assert not zero


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="conv_size=4: expected an odd number"):
    Conformer(**SIZES | {"conv_size": 4}, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="num_heads=4: rotary positions need heads of an even width"):
    Conformer(**SIZES | {"num_heads": 4}, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="size 'X'"):
    conformer_size("X")

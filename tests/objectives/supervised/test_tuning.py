import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sound_objectives
from fake_texts import TinyText, random_texts, text_of
from flax import nnx

from pretrainjax.augment.audio import Policy
from pretrainjax.errors import UserError
from pretrainjax.objectives.supervised.tuning import check_spec_augment, encode, trains


@pytest.mark.parametrize("tune", ["full", "linear"])
def test_a_fixed_encoder_is_the_one_of_evaluation(tune):
  inputs = text_of(random_texts(3))
  encoder = TinyText(rate=0.5, rngs=nnx.Rngs(0))
  encoded = encode(encoder, inputs, tune=tune, rngs=nnx.Rngs(1))
  assert (tune == "linear") == np.array_equal(encoded.pooled, encoder(inputs).pooled)
  graphdef, state = nnx.split(encoder)

  def total(state):
    encoder = nnx.merge(graphdef, state)
    return encode(encoder, inputs, tune=tune, rngs=nnx.Rngs(1)).pooled.sum()

  moves = any(g.any() for g in jax.tree.leaves(jax.grad(total)(state)))
  assert moves == (tune == "full") == trains(("encoder", "mix", "kernel"), tune=tune)
  assert trains(("head", "classifier", "kernel"), tune=tune)


def test_features_of_sound_are_hidden_in_training_alone():
  """A band of all bands, and no time, leaves the mean of a row's features everywhere."""
  encoder = sound_objectives.LogMelEncoder(rngs=nnx.Rngs(0))
  inputs = encoder.inputs(sound_objectives.sounds(3))
  policy = Policy(num_frequency=40, frequency=8, num_time=0, time=0, time_fraction=1.0)
  hidden = encode(encoder, inputs, tune="full", rngs=nnx.Rngs(1), spec_augment=policy)
  frames = encoder.features(inputs)
  real = frames.valid[..., None]
  mean = jnp.sum(frames.features * real, axis=(1, 2)) / (real.sum(axis=(1, 2)) * 8)
  flat = jnp.where(real, mean[:, None, None], frames.features)
  expected = encoder.encode(frames._replace(features=flat))
  np.testing.assert_allclose(hidden.pooled, expected.pooled, atol=1e-5)
  plain = encode(encoder, inputs, tune="full", rngs=nnx.Rngs(1))
  np.testing.assert_array_equal(plain.pooled, encoder(inputs).pooled)
  assert not np.allclose(plain.pooled, hidden.pooled, atol=1e-3)


def test_a_policy_is_refused_where_there_is_nothing_to_hide():
  policy = Policy(1, 8, 1, 10, 1.0)
  sound = sound_objectives.LogMelEncoder(rngs=nnx.Rngs(0))
  check_spec_augment(sound, policy=policy, tune="full")
  check_spec_augment(TinyText(rngs=nnx.Rngs(0)), policy=None, tune="full")
  with pytest.raises(UserError, match="spec_augment: found a policy for a TinyText, expected None"):
    check_spec_augment(TinyText(rngs=nnx.Rngs(0)), policy=policy, tune="full")
  with pytest.raises(UserError, match="expected None with tune='linear'"):
    check_spec_augment(sound, policy=policy, tune="linear")

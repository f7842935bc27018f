import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.frames import Frames
from pretrainjax.models.layers.waveform import TimeNorm, Waveform, normalised_audio
from pretrainjax.types import Sound

RNG = np.random.default_rng(0)


def test_that_of_the_paper_stands_on_400_samples():
  sizes, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
  stack = Waveform(dims=(2,) * 7, sizes=sizes, strides=strides, rngs=nnx.Rngs(0))
  assert stack.receptive_field == 400
  found = stack(Sound(np.zeros((3, 1040), np.int16), np.array([399, 400, 1040])))
  assert found.features.shape == (3, 3, 2) and found.valid.sum(1).tolist() == [0, 1, 3]


def test_real_samples_get_mean_0_and_variance_1():
  audio = RNG.integers(-9000, 20000, (2, 50)).astype(np.int16)
  found = normalised_audio(Sound(audio, np.array([50, 20]))).audio
  for row, count in ((0, 50), (1, 20)):
    real = found[row, :count]
    np.testing.assert_allclose([real.mean(), real.var()], [0, 1], atol=1e-3)
  assert not found[1, 20:].any()


@pytest.mark.parametrize("count", [4, 9])
def test_a_norm_over_time_counts_real_frames(count):
  x = jnp.asarray(RNG.normal(size=(1, 9, 3)), jnp.float32)
  valid = jnp.arange(9)[None] < count
  found = TimeNorm(num_features=3, eps=1e-5)(Frames(x, valid))[0, :count]
  np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(found.var(0), 1, atol=1e-3)

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.models.sound_encoder import SoundEncoder, hide


def test_an_encoder_of_sound_says_what_it_reads():
  sound = SoundEncoder().inputs({"audio": np.zeros((2, 9), np.int16), "num_samples": np.arange(2)})
  assert sound.audio.shape == (2, 9) and sound.num_samples.tolist() == [0, 1]


def test_a_vector_stands_for_what_is_hidden():
  x = jnp.ones((1, 2, 3))
  found = hide(x, jnp.array([[False, True]]), vector=nnx.Param(jnp.arange(3.0)))
  assert found.tolist() == [[[1, 1, 1], [0, 1, 2]]]
  assert hide(x, None, vector=None) is x

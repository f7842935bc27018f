import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.mlp import MLP
from pretrainjax.types import Encoder

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)


def test_the_keras_example():
  model = MLP(rngs=nnx.Rngs(0))
  assert isinstance(model, Encoder)
  assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model))) == 784 * 512 + 512
  encoded = model(IMAGES)
  kernel = np.asarray(model.hidden.kernel[...])
  expected = np.maximum(IMAGES.reshape(3, -1) / 255 @ kernel, 0)
  np.testing.assert_allclose(encoded.pooled, expected, atol=1e-5)
  assert encoded.tokens.shape == (3, 1, 512) and encoded.valid.shape == (3, 1)


def test_dropout_takes_part_in_training():
  model = MLP(dropout=0.5, rngs=nnx.Rngs(0))
  plain, dropped = model(IMAGES), model(IMAGES, deterministic=False, rngs=nnx.Rngs(1))
  alive = plain.pooled > 0
  np.testing.assert_allclose((dropped.pooled[alive] == 0).mean(), 0.5, atol=0.08)


def test_mistakes_are_named():
  with pytest.raises(ValueError, match="dropout=1.0"):
    MLP(dropout=1.0, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match=r"expected \(28, 28, 1\)"):
    MLP(rngs=nnx.Rngs(0))(jnp.zeros((2, 32, 32, 3)))
  with pytest.raises(ValueError, match="keep must be None"):
    MLP(rngs=nnx.Rngs(0))(IMAGES, keep=jnp.zeros((3, 1), int))

import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.heads import Projector
from pretrainjax.models.text_tower import TextTower
from pretrainjax.models.two_towers import Similarity, TwoTowers
from pretrainjax.models.vit import ViT

SIZES = {"num_layers": 1, "num_heads": 2, "mlp_dim": 8}
IMAGES = np.zeros((2, 4, 4, 3), np.uint8)
TOKENS = np.array([[1, 2, 3], [4, 5, 6]])


def projector(in_dim, out_dim=5):
  linear = {"num_layers": 1, "batch_norm": False, "use_bias": False}
  return Projector(in_dim=in_dim, out_dim=out_dim, **linear, rngs=nnx.Rngs(1))


def towers(**networks):
  image = ViT(image_size=4, patch_size=2, embed_dim=8, **SIZES, rngs=nnx.Rngs(0))
  text = TextTower(vocab_size=7, max_length=3, embed_dim=6, **SIZES, rngs=nnx.Rngs(0))
  return TwoTowers(image=image, text=text, similarity=Similarity(), **networks)


def test_features_are_what_is_pooled_and_projected():
  made = towers(image_projector=projector(8), text_projector=projector(6))
  kernel = made.text_projector.linear0.kernel[...]
  assert made.text_projector.linear0.bias is None
  np.testing.assert_allclose(made.embed_texts(TOKENS), made.text(TOKENS).pooled @ kernel, atol=1e-5)
  assert made.embed_images(IMAGES).shape == (2, 5)


def test_a_tower_may_be_without_a_projector():
  made = towers(text_projector=projector(6, out_dim=8))
  np.testing.assert_array_equal(made.embed_images(IMAGES), made.image(IMAGES).pooled)


def test_widths_that_differ_are_refused():
  with pytest.raises(ValueError, match="features of images have width 8, those of texts 5"):
    towers(text_projector=projector(6))


def test_logits_are_scaled_cosines():
  cosines = jnp.array([[1.0, -0.5]])
  np.testing.assert_allclose(Similarity(log_scale=math.log(10))(cosines), [[10, -5]], rtol=1e-6)
  shifted = Similarity(log_scale=math.log(10), bias=-10.0)(cosines)
  np.testing.assert_allclose(shifted, [[0, -15]], atol=1e-5)
  assert len(nnx.to_flat_state(nnx.state(Similarity(), nnx.Param))) == 1

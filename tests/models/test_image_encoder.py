"""All encoders of images read the same array, and say so."""

import functools

import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.models.mlp import MLP
from pretrainjax.models.resnet import ResNet
from pretrainjax.models.vit import ViT
from pretrainjax.types import Encoder

SIZES = {"embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
MAKERS = {
  "vit": functools.partial(ViT, image_size=8, patch_size=4, **SIZES),
  "resnet": functools.partial(ResNet, depth=10),
  "mlp": functools.partial(MLP, image_size=8, num_channels=3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_images_are_read_whatever_else_a_batch_has(name):
  encoder = nnx.eval_shape(lambda: MAKERS[name](rngs=nnx.Rngs(0)))
  assert isinstance(encoder, ImageEncoder) and isinstance(encoder, Encoder)
  images = np.zeros((2, 8, 8, 3), np.uint8)
  batch = {"image": images, "tokens": np.zeros((2, 4), np.int32), "label": np.zeros(2, np.int32)}
  assert encoder.inputs(batch) is images
  views = np.zeros((2, 3, 8, 8, 3), np.uint8)
  assert encoder.inputs({"image": views}) is views


def test_bytes_are_normalised_and_floats_are_left():
  class Tiny(ImageEncoder):
    image_mean, image_std = (0.5,), (0.25,)

  images = np.full((1, 2, 2, 1), 255, np.uint8)
  np.testing.assert_allclose(Tiny().normalize(images), 2.0)
  np.testing.assert_allclose(Tiny().normalize(np.float32(images)), 255.0)

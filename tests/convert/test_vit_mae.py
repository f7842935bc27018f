"""Without torch: round trips and mistakes. Numbers are compared in tests/parity."""

import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.convert import vit_mae
from pretrainjax.convert.family import class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.vit import ViT

KIND = "ViTMAEForPreTraining"


def made(image_size=(12, 12), **changes):
  sizes = {"patch_size": 4, "embed_dim": 8, "num_layers": 3, "num_heads": 2, "mlp_dim": 12}
  decoder = {"patch_dim": 4 * 4 * 2, "encoder_dim": 8, "embed_dim": 4, "num_layers": 2}
  grid = tuple(side // 4 for side in image_size)
  return {
    "backbone": recipe(ViT, image_size=image_size, num_channels=2, **sizes, **changes),
    "decoder": recipe(MAEDecoder, grid=grid, num_heads=1, **decoder),
  }


RECIPES = made()


@pytest.fixture(scope="module")
def params():
  return noise(RECIPES)


@pytest.fixture
def tensors(params):
  return theirs(KIND, params, RECIPES)


def test_there_and_back(params, tensors):
  assert len(tensors) == 4 + 16 * 3 + 2 + 4 + 16 * 2 + 4
  same(ours(KIND, tensors, RECIPES), params)


@pytest.mark.parametrize("change", [lambda table: table + 0.1, lambda table: table[:, :-1]])
def test_fixed_positions_are_written_and_checked(change, tensors):
  name = "decoder.decoder_pos_embed"
  assert tensors[name].shape == (1, 10, 4)
  with pytest.raises(UserError, match="decoder_pos_embed is not the fixed sine-cosine table"):
    ours(KIND, tensors | {name: change(tensors[name])}, RECIPES)


@pytest.mark.parametrize(
  "name",
  ["decoder.mask_token", "decoder.decoder_pos_embed", "vit.encoder.layer.2.output.dense.bias"],
)
def test_missing_tensors_are_named(name, tensors):
  del tensors[name]
  with pytest.raises(UserError, match=f"missing tensors {name}"):
    ours(KIND, tensors, RECIPES)


def test_unknown_tensors_are_named(tensors):
  with pytest.raises(UserError, match="unknown tensors classifier.weight"):
    ours(KIND, tensors | {"classifier.weight": np.ones(2)}, RECIPES)


def test_what_the_class_cannot_hold_is_refused():
  windows = made()
  windows["decoder"].window = (2, 2)
  for recipes in (made(image_size=(8, 12)), made(position="learned"), windows):
    with pytest.raises(UserError, match=f"found '{KIND}', expected a class that fits"):
      class_for(recipes, kind=KIND)
  with pytest.raises(UserError, match="2 x 3: ViTMAE takes square images only"):
    vit_mae.read_config(Fields({"image_size": [8, 12], "patch_size": 4}), KIND)

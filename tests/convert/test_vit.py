"""Without torch: round trips and mistakes. Numbers are compared in tests/parity."""

import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.convert import vit
from pretrainjax.convert.family import class_for
from pretrainjax.errors import UserError
from pretrainjax.models.vit import ViT

KIND = "ViTModel"


def made(**changes):
  sizes = {"patch_size": 4, "embed_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
  return {"backbone": recipe(ViT, image_size=(8, 12), **sizes, **changes)}


# As a run of ours may be, whose class token has no position; and as theirs are read.
LEARNED = made(position="learned")
AS_READ = made(position="learned", cls_position=True)


def test_there_and_back():
  params = noise(LEARNED)
  tensors = theirs(KIND, params, LEARNED)
  assert tensors[vit.POSITIONS].shape == (1, 7, 8) and not tensors[vit.POSITIONS][0, 0].any()
  assert tensors["encoder.layer.1.intermediate.dense.weight"].shape == (12, 8)
  same(ours(KIND, tensors, LEARNED), params)


def test_the_position_of_the_class_token_is_read():
  params = noise(LEARNED)
  tensors = theirs(KIND, params, LEARNED)
  tensors[vit.POSITIONS][0, 0] = 2.0
  found = ours(KIND, tensors, AS_READ)
  np.testing.assert_array_equal(found["encoder"].pop("cls_position"), [[2.0] * 8])
  same(found, params)


def test_prefix_and_pooler_are_taken_off():
  params = noise(AS_READ)
  tensors = {f"vit.{n}": t for n, t in theirs(KIND, params, AS_READ).items()}
  tensors["pooler.dense.weight"] = np.ones((8, 8))
  same(ours(KIND, tensors, AS_READ), params)
  with pytest.raises(UserError, match="unknown tensors vit.pool.dense.weight"):
    ours(KIND, tensors | {"pool.dense.weight": np.ones((8, 8))}, AS_READ)


def test_what_the_class_has_no_place_for_is_refused():
  for changes in ({"num_registers": 2}, {"layer_scale": 0.1}):
    with pytest.raises(UserError, match="found 'ViTModel', expected a class that fits"):
      class_for(made(**changes), kind=KIND)


def test_names_of_version_5_are_read():
  names = {
    "vit.layers.3.attention.q_proj.weight": "vit.encoder.layer.3.attention.attention.query.weight",
    "layers.0.mlp.fc2.bias": "encoder.layer.0.output.dense.bias",
    "decoder.decoder_encoder.layer.1.output.dense.bias": (
      "decoder.decoder_layers.1.output.dense.bias"
    ),
  }
  assert [vit.version_4_name(name) for name in names] == list(names.values())

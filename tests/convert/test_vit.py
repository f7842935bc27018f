"""Without torch: round trips and mistakes. Numbers are compared in tests/parity."""

import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import vit
from pretrainjax.errors import UserError
from pretrainjax.models.vit import ViT


def params(**kwargs):
  sizes = {"patch_size": 4, "embed_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
  model = ViT(image_size=(8, 12), **sizes, **kwargs, rngs=nnx.Rngs(0))
  return nnx.to_pure_dict(nnx.state(model, nnx.Param))


def test_there_and_back():
  ours = params(position="learned")
  tensors = vit.to_hf(ours, grid=(2, 3))
  assert tensors[vit.POSITIONS].shape == (1, 7, 8) and not tensors[vit.POSITIONS][0, 0].any()
  assert tensors["encoder.layer.1.intermediate.dense.weight"].shape == (12, 8)
  jax.tree.map(np.testing.assert_array_equal, vit.from_hf(tensors), ours)


def test_the_position_of_the_class_token_moves_into_the_token():
  tensors = vit.to_hf(params(position="learned"), grid=(2, 3))
  before = tensors["embeddings.cls_token"].reshape(-1)
  tensors[vit.POSITIONS][0, 0] = 2.0
  np.testing.assert_allclose(vit.from_hf(tensors)["cls_token"], before + 2)


def test_prefix_and_pooler_are_taken_off():
  ours = params(position="learned")
  tensors = {f"vit.{n}": t for n, t in vit.to_hf(ours, grid=(2, 3)).items()}
  tensors["pooler.dense.weight"] = np.ones((8, 8))
  jax.tree.map(np.testing.assert_array_equal, vit.from_hf(tensors), ours)
  with pytest.raises(UserError, match="unknown tensors pooler.dense.weight"):
    vit.from_hf(tensors, ignore=())


def test_what_the_class_has_no_place_for_is_refused():
  with pytest.raises(UserError, match="unknown parameters register_tokens"):
    vit.to_hf(params(num_registers=2), grid=(2, 3))
  with pytest.raises(UserError, match="scale1/scale"):
    vit.to_hf(params(layer_scale=0.1), grid=(2, 3))


def test_names_of_version_5_are_read():
  names = {
    "vit.layers.3.attention.q_proj.weight": "vit.encoder.layer.3.attention.attention.query.weight",
    "layers.0.mlp.fc2.bias": "encoder.layer.0.output.dense.bias",
    "decoder.decoder_encoder.layer.1.output.dense.bias": (
      "decoder.decoder_layers.1.output.dense.bias"
    ),
  }
  assert list(vit.version_4({name: np.ones(1) for name in names})) == list(names.values())

import logging

import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import dinov2, vit
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers

KIND = "Dinov2Model"
CONFIG = {
  "model_type": "dinov2",
  "image_size": 6,
  "patch_size": 3,
  "num_channels": 2,
  "hidden_size": 8,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "mlp_ratio": 3,
}


def read(**changes):
  return dinov2.read_config(Fields(CONFIG | changes), KIND)


def test_config_json_says_all_that_our_network_is():
  recipes = read(layerscale_value=0.5, image_size=[6, 6])
  backbone = recipes["backbone"]
  assert (backbone.eps, backbone.layer_scale, backbone.mlp_dim) == (1e-6, 0.5, 24)
  assert class_for(recipes)[:2] == (dinov2, KIND) and not vit.fits(recipes, "ViTModel")
  written = dinov2.write_config(recipes, KIND, Tokens())
  assert dinov2.read_config(Fields(written), KIND) == recipes


@pytest.mark.parametrize(
  "change", [{"layer_scale": None}, {"mlp_dim": 20}, {"image_size": (6, 9)}, {"num_registers": 1}]
)
def test_a_run_that_their_class_cannot_be_is_not_written_as_one(change):
  backbone = read()["backbone"]
  with backbone.ignore_type():
    backbone.update(change)
  assert not dinov2.fits({"backbone": backbone}, KIND)


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"use_swiglu_ffn": True}, "use_swiglu_ffn: found True, expected False"),
    ({"drop_path_rate": 0.1}, "drop_path_rate: found 0.1"),
    ({"image_size": [6, 9]}, r"image_size: found \[6, 9\], expected one side"),
    ({"mlp_ratio": 2.5}, "mlp_ratio: found 2.5"),
    ({"qkv_bias": False}, "qkv_bias: found False"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)


def test_the_mask_token_is_left_behind_by_name_and_written_as_zeros(tmp_path, monkeypatch, caplog):
  monkeypatch.setitem(their_folders.CONFIGS, KIND, CONFIG)
  tensors = their_folders.tensors_of(KIND) | {"embeddings.mask_token": np.ones((1, 8), np.float32)}
  folder = their_folders.make(tmp_path / "theirs", KIND, tensors=tensors)
  with caplog.at_level(logging.WARNING):
    networks = networks_of(load(f"hf:{folder}"), None)
  assert "left behind, as nothing of ours holds it: embeddings.mask_token" in caplog.text
  (tmp_path / "ours").mkdir()
  how = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}
  assert write_transformers(tmp_path / "ours", networks, **how).kind == KIND
  found = TensorFolder(tmp_path / "ours")
  assert sorted(found) == sorted(tensors)
  for name, tensor in tensors.items():
    expected = np.zeros((1, 8)) if name == "embeddings.mask_token" else tensor
    np.testing.assert_array_equal(found[name], expected)

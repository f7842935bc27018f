import logging

import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import dinov2, vit
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.folder import open_model
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers

KIND = "Dinov2Model"
CONFIG = their_folders.DINOV2 | {"model_type": "dinov2", "mlp_ratio": 3}


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
    ({"use_swiglu_ffn": 1}, "use_swiglu_ffn: found 1, expected true or false"),
    ({"drop_path_rate": 0.1}, "drop_path_rate: found 0.1"),
    ({"image_size": [6, 9]}, r"image_size: found \[6, 9\], expected one side"),
    ({"mlp_ratio": 2.5}, "mlp_ratio: found 2.5"),
    ({"qkv_bias": False}, "qkv_bias: found False"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)


def test_the_mask_token_comes_along_where_it_is_known_else_as_zeros(tmp_path, monkeypatch, caplog):
  monkeypatch.setitem(their_folders.CONFIGS, KIND, CONFIG)
  tensors = their_folders.tensors_of(KIND) | {"embeddings.mask_token": np.ones((1, 8), np.float32)}
  folder = their_folders.make(tmp_path / "theirs", KIND, tensors=tensors)
  with caplog.at_level(logging.WARNING), monkeypatch.context() as patched:
    patched.setattr(TensorFolder, "__getitem__", lambda *_: pytest.fail("a tensor was read"))
    assert open_model(folder).matched.fillers == {"embeddings.mask_token": "embeddings.mask_token"}
    assert not caplog.text
  with caplog.at_level(logging.WARNING):
    networks = networks_of(load(f"hf:{folder}"), None)
  assert "kept for an export of this folder only: embeddings.mask_token" in caplog.text
  how = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}
  trained = networks._replace(fillers={})
  for name, some, zeros in (("ours", networks, ()), ("trained", trained, ("mask_token",))):
    (tmp_path / name).mkdir()
    written = write_transformers(tmp_path / name, some, **how)
    assert (written.kind, written.zeros) == (KIND, zeros)
    found = TensorFolder(tmp_path / name)
    assert sorted(found) == sorted(tensors)
    for key, tensor in tensors.items():
      is_lost = zeros and key == "embeddings.mask_token"
      np.testing.assert_array_equal(found[key], np.zeros((1, 8)) if is_lost else tensor)


def test_gated_perceptrons_are_swiglu_of_two_thirds():
  # The sizes of facebook/dinov2-giant, whose hidden_act says "gelu".
  sizes = {"hidden_size": 1536, "num_attention_heads": 24, "mlp_ratio": 4, "hidden_act": "gelu"}
  recipes = read(use_swiglu_ffn=True, **sizes)
  backbone = recipes["backbone"]
  assert (backbone.mlp_dim, backbone.gated, backbone.activation) == (4096, True, "silu")
  written = dinov2.write_config(recipes, KIND, Tokens())
  assert written["mlp_ratio"] == 4 and dinov2.read_config(Fields(written), KIND) == recipes
  assert class_for(recipes)[:2] == (dinov2, KIND)
  names = {rule.theirs for rule in dinov2.table(recipes, KIND, Tokens()).rules}
  layer = "encoder.layer.{layer}.mlp"
  assert {f"{layer}.weights_in.weight", f"{layer}.weights_out.bias"} <= names
  for change in ({"activation": "gelu"}, {"mlp_dim": 4100}):
    other = backbone.copy_and_resolve_references()
    other.update(change)
    assert not dinov2.fits({"backbone": other}, KIND)


def test_of_a_classifier_the_encoder_is_read(tmp_path, monkeypatch, caplog):
  kind = "Dinov2ForImageClassification"
  monkeypatch.setitem(their_folders.CONFIGS, kind, CONFIG)
  bare = their_folders.tensors_of(kind)
  tensors = {f"dinov2.{name}": tensor for name, tensor in bare.items()}
  tensors["classifier.weight"] = np.ones((3, 16), np.float32)
  folder = their_folders.make(tmp_path, kind, tensors=tensors)
  with caplog.at_level(logging.WARNING):
    loaded = load(f"hf:{folder}")
  assert "left behind, as nothing of ours holds it: classifier.weight" in caplog.text
  found = loaded.encoder.norm.scale[...]
  np.testing.assert_array_equal(found, bare["layernorm.weight"])
  assert class_for(networks_of(loaded, None).recipes)[1] == KIND

import json

import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import ast
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers

CONFIG = {
  "model_type": "audio-spectrogram-transformer",
  "hidden_size": 8,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 10,
  "patch_size": 4,
  "frequency_stride": 3,
  "time_stride": 2,
  "max_length": 9,
  "num_mel_bins": 11,
}
HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}
KINDS = ("ASTModel", "ASTForAudioClassification")


def read(kind="ASTModel", **changes):
  return ast.read_config(Fields(CONFIG | changes), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_config_json_says_all_that_our_networks_are(kind):
  recipes = read(kind, hidden_act="relu", layer_norm_eps=1e-4)
  backbone = recipes["backbone"]
  assert (backbone.stride, backbone.length, backbone.num_mels) == ((3, 2), 9, 11)
  assert (backbone.activation, backbone.pool, backbone.padded) == ("relu", "prefix", True)
  assert ast.grid_of(backbone) == (3, 3)
  assert class_for(recipes)[:2] == (ast, kind)
  written = ast.write_config(recipes, kind, Tokens())
  assert ast.read_config(Fields(written), kind) == recipes


@pytest.mark.parametrize("change", [{"padded": False}, {"num_prefix": 1}, {"position": "sincos"}])
def test_a_run_that_their_class_cannot_be_is_not_written_as_one(change):
  backbone = read()["backbone"]
  backbone.update(change)
  assert not ast.fits({"backbone": backbone}, "ASTModel")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_read_and_written(kind, tmp_path, monkeypatch):
  monkeypatch.setitem(their_folders.CONFIGS, kind, CONFIG | {"max_length": 11})
  tensors = their_folders.tensors_of(kind)
  folder = their_folders.make(tmp_path / "theirs", kind, tensors=tensors)
  said = {"num_mel_bins": 11, "max_length": 11, "mean": -1.5, "std": 2.25}
  (folder / "preprocessor_config.json").write_text(json.dumps(said))
  networks = networks_of(load(f"hf:{folder}"))
  encoder = networks.modules["encoder"]
  assert (encoder.grid, encoder.log_mel.mean, encoder.log_mel.std) == ((4, 3), -1.5, 4.5)
  name = next(name for name in tensors if name.endswith("position_embeddings"))
  theirs = tensors[name][0, 2:].reshape(3, 4, 8)
  ours = encoder.position_table[...].reshape(4, 3, 8)
  np.testing.assert_array_equal(ours, theirs.swapaxes(0, 1))

  (tmp_path / "ours").mkdir()
  assert write_transformers(tmp_path / "ours", networks, **HOW).kind == kind
  found = TensorFolder(tmp_path / "ours")
  assert sorted(found) == sorted(tensors)
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(found[name], tensor)
  written = json.loads((tmp_path / "ours" / "preprocessor_config.json").read_text())
  assert (written["mean"], written["std"], written["max_length"]) == (-1.5, 2.25, 11)


def test_the_scaling_of_bands():
  backbone = read()["backbone"]

  def said(**values):
    return Fields({"num_mel_bins": 11, "max_length": 9} | values)

  assert ast.read_processor(said(do_normalize=False), backbone) == {"mean": 0.0, "std": 1.0}
  with pytest.raises(UserError, match="max_length: found 1024, expected 9"):
    ast.read_processor(said(max_length=1024), backbone)
  with pytest.raises(UserError, match="std: found 0, expected a number above 0"):
    ast.read_processor(said(std=0), backbone)

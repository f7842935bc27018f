import json

import numpy as np
import pytest
import their_folders
import timm_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.export.__main__ import main
from pretrainjax.export.networks import networks_of
from pretrainjax.export.timm import is_small_stem
from pretrainjax.export.write import write_transformers

HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10}


@pytest.mark.parametrize("name", timm_folders.CASES)
def test_what_is_read_is_written_with_the_same_bytes(name, tmp_path):
  folder = timm_folders.make(tmp_path / "timm", name)
  assert main([f"--workdir=hf:{folder}", f"--out={tmp_path}/again", "--form=timm"]) == 0
  found, expected = TensorFolder(tmp_path / "again"), timm_folders.tensors_of(name)
  assert sorted(found) == sorted(expected)
  for key, tensor in expected.items():
    ours = found.integers(key) if key.endswith("tracked") else found[key]
    np.testing.assert_array_equal(ours, tensor)
  config = json.loads((tmp_path / "again" / "config.json").read_text())
  assert config["pretrained_cfg"]["mean"] == timm_folders.config_of(name)["pretrained_cfg"]["mean"]
  assert config["num_classes"] == timm_folders.CASES[name]["num_classes"]
  card = (tmp_path / "again" / "README.md").read_text()
  assert "library_name: timm" in card and 'create_model("local-dir:FOLDER"' in card
  again = load(f"hf:{tmp_path}/again")
  assert again.config == load(f"hf:{folder}").config


def test_a_model_of_timm_goes_on_to_transformers(tmp_path):
  folder = timm_folders.make(tmp_path / "timm", "resnet")
  networks = networks_of(load(f"hf:{folder}"), None)
  written = write_transformers(tmp_path, networks, **HOW | {"max_shard_size": 10**9})
  assert written.kind == "ResNetForImageClassification"
  found = load(f"hf:{tmp_path}")
  variance = networks.params["encoder/stage2_block1/shortcut_norm/var"]
  found = found.module.encoder.stage2_block1.shortcut_norm.var[...]
  np.testing.assert_array_equal(found, variance)


def test_texts_have_no_names_of_timm(tmp_path, capsys):
  folder = their_folders.make(tmp_path / "bert")
  assert main([f"--workdir=hf:{folder}", f"--out={tmp_path}/out", "--form=timm"]) == 2
  assert "no class of timm holds this BERT" in capsys.readouterr().err


def test_a_stem_that_timm_has_not_is_told():
  assert is_small_stem({"pretrainjax": {"stem": "cifar"}})
  assert not is_small_stem({"architecture": "resnet18"})

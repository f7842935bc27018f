import json

import pytest
import their_folders

from pretrainjax.checkpoint import manifest
from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert.folder import read
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import new_folder, write_transformers

HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
  folder = their_folders.make(tmp_path_factory.mktemp("model"))
  return networks_of(load(f"hf:{folder}"), None)


def test_a_folder_appears_when_it_is_whole(networks, tmp_path):
  out = tmp_path / "out"
  with new_folder(out) as folder:
    write_transformers(folder, networks, **HOW)
    assert not out.exists()
  assert manifest.verify(out) and read(out).kind == "BertForMaskedLM"
  assert [path.name for path in tmp_path.iterdir()] == ["out"]
  with pytest.raises(UserError, match="is there already"), new_folder(out):
    pass


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_was_stopped_leaves_nothing(networks, error, tmp_path):
  with pytest.raises(error), new_folder(tmp_path / "out") as folder:
    write_transformers(folder, networks, **HOW)
    raise error
  assert not list(tmp_path.iterdir())


def test_nothing_loads_of_what_was_killed_before_its_end(networks, tmp_path, monkeypatch):
  """config.json is written last."""
  before = []
  real = json.dumps

  def dumps(content, **how):
    if isinstance(content, dict) and "architectures" in content:
      before.extend(path.name for path in tmp_path.iterdir())
    return real(content, **how)

  monkeypatch.setattr("pretrainjax.export.write.json.dumps", dumps)
  write_transformers(tmp_path, networks, **HOW)
  assert "model.safetensors" in before and "config.json" not in before


def test_half_precision_and_what_is_left(networks, tmp_path):
  written = write_transformers(tmp_path, networks, **HOW | {"dtype": "bfloat16"})
  assert (written.kind, written.held, written.left) == ("BertForMaskedLM", ("encoder", "head"), ())
  count = sum(tensor.size for tensor in TensorFolder(tmp_path).values())
  assert written.num_parameters == count
  config = json.loads((tmp_path / "config.json").read_text())
  assert config["torch_dtype"] == "bfloat16" and config["architectures"] == ["BertForMaskedLM"]


def test_another_class_may_be_asked_for(networks, tmp_path):
  written = write_transformers(tmp_path, networks, **HOW | {"kind": "BertModel"})
  assert (written.kind, written.left) == ("BertModel", ("head",))


def test_images_have_their_scaling_beside_them(tmp_path):
  folder = their_folders.make(tmp_path / "model", "ViTModel")
  facts = {"image_mean": [0.1, 0.2], "image_std": [0.3, 0.4]}
  (folder / "preprocessor_config.json").write_text(json.dumps(facts))
  networks = networks_of(load(f"hf:{folder}"), None)
  with new_folder(tmp_path / "out") as part:
    write_transformers(part, networks, **HOW)
  found = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
  assert found["size"] == {"height": 6, "width": 6} and found["image_mean"] == [0.1, 0.2]

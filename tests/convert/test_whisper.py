import json

import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import whisper
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers

KIND = "WhisperForConditionalGeneration"
CONFIG = their_folders.WHISPER | {"model_type": "whisper"}
HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}


def read(**changes):
  return whisper.read_config(Fields(CONFIG | changes), KIND)


def test_config_json_says_all_that_our_networks_are():
  recipes = read(decoder_layers=3, dropout=0.25, activation_function="relu")
  backbone, decoder = recipes["backbone"], recipes["decoder"]
  assert (backbone.num_layers, decoder.num_layers, backbone.length) == (2, 3, 6)
  assert (decoder.start_id, decoder.end_id, decoder.pad_id) == (3, 2, 1)
  assert (backbone.dropout, decoder.activation) == (0.25, "relu")
  assert class_for(recipes)[:2] == (whisper, KIND)
  written = whisper.write_config(recipes, KIND, Tokens())
  assert whisper.read_config(Fields(written), KIND) == recipes


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"scale_embedding": True}, "scale_embedding: found True"),
    ({"tie_word_embeddings": False}, "tie_word_embeddings: found False"),
    ({"eos_token_id": 11}, "eos_token_id: found 11, expected a token below vocab_size, 11"),
    ({"eos_token_id": [1, 2]}, "eos_token_id: found"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)


@pytest.mark.parametrize("changes", [{"dropout": 0.5}, {"hears_padding": False}])
def test_what_their_class_cannot_be_is_not_written_as_one(changes):
  recipes = read()
  assert whisper.fits(recipes, KIND)
  recipes["decoder"].update(changes)
  assert not whisper.fits(recipes, KIND)


def test_a_folder_is_read_and_written(tmp_path, monkeypatch):
  monkeypatch.setitem(their_folders.CONFIGS, KIND, CONFIG)
  tensors = their_folders.tensors_of(KIND)
  copy = {"proj_out.weight": tensors["model.decoder.embed_tokens.weight"]}
  folder = their_folders.make(tmp_path / "theirs", KIND, tensors=tensors | copy)
  (folder / "preprocessor_config.json").write_text('{"feature_size": 5, "chunk_length": 0.12}')
  networks = networks_of(load(f"hf:{folder}"))
  table = networks.modules["encoder"].position_table[...]
  np.testing.assert_array_equal(table, tensors["model.encoder.embed_positions.weight"])

  (tmp_path / "ours").mkdir()
  assert write_transformers(tmp_path / "ours", networks, **HOW).kind == KIND
  found = TensorFolder(tmp_path / "ours")
  assert sorted(found) == sorted(tensors)
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(found[name], tensor)
  generation = json.loads((tmp_path / "ours" / "generation_config.json").read_text())
  assert (generation["decoder_start_token_id"], generation["eos_token_id"]) == (3, 2)
  assert (
    json.loads((tmp_path / "ours" / "preprocessor_config.json").read_text())["hop_length"] == 160
  )


@pytest.mark.parametrize(
  "written, said",
  [
    ({"feature_size": 80}, "feature_size: found 80, expected 5"),
    ({"chunk_length": 30}, "chunk_length: found 30, expected 0.12"),
    ({"sampling_rate": 8000}, "sampling_rate: found 8000"),
  ],
)
def test_another_spectrogram_is_refused(written, said):
  backbone = read()["backbone"]
  given = {"feature_size": 5} | written
  with pytest.raises(UserError, match=said):
    whisper.read_processor(Fields(given), backbone)

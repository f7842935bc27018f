import numpy as np
import pytest
import their_folders
from their_tensors import noise, ours, same, theirs

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import class_for
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers
from pretrainjax.models.llama import Llama

KIND = "LlamaForCausalLM"


def made(*, tied):
  """Recipes, parameters and tensors."""
  sizes = {"embed_dim": 8, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "mlp_dim": 10}
  recipes = {"backbone": recipe(Llama, vocab_size=11, max_length=7, tied=tied, **sizes)}
  params = noise(recipes)
  return recipes, params, theirs(KIND, params, recipes)


@pytest.mark.parametrize("tied", [False, True])
def test_both_directions_are_inverse(tied):
  recipes, params, tensors = made(tied=tied)
  assert tensors["model.layers.2.self_attn.k_proj.weight"].shape == (4, 8)
  assert ("lm_head.weight" in tensors) == (not tied)
  same(ours(KIND, tensors, recipes), params)


def test_reads_files_with_wavelengths_or_a_copy_of_the_head():
  recipes, params, tensors = made(tied=True)
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(1)
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
  same(ours(KIND, tensors, recipes), params)


def test_refuses_what_does_not_fit():
  recipes, _, tensors = made(tied=False)
  with pytest.raises(UserError, match="unknown tensors model.layers.0.self_attn.q_proj.bias"):
    ours(KIND, tensors | {"model.layers.0.self_attn.q_proj.bias": np.ones(8)}, recipes)
  recipes, _, _ = made(tied=True)
  with pytest.raises(UserError, match="lm_head.weight is not tied"):
    ours(KIND, tensors, recipes)


CONFIG = {
  "model_type": "llama",
  "vocab_size": 11,
  "hidden_size": 8,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 10,
  "max_position_embeddings": 7,
}
HOW = {"tokenizer": None, "dtype": "float32", "max_shard_size": 10**9}


def test_a_bare_model_is_written_without_a_head_and_read_with_a_line(tmp_path, monkeypatch, caplog):
  monkeypatch.setitem(their_folders.CONFIGS, "LlamaForCausalLM", CONFIG)
  folder = their_folders.make(tmp_path / "whole", "LlamaForCausalLM")
  networks = networks_of(load(f"hf:{folder}"), None)
  assert class_for(networks.recipes)[1] == "LlamaForCausalLM"
  (tmp_path / "bare").mkdir()
  written = write_transformers(tmp_path / "bare", networks, kind="LlamaModel", **HOW)
  assert (written.kind, written.left) == ("LlamaModel", ("output_embedding",))
  names = {n.removeprefix("model.") for n in TensorFolder(folder)} - {"lm_head.weight"}
  assert set(TensorFolder(tmp_path / "bare")) == names
  assert not caplog.records
  found = load(f"hf:{tmp_path}/bare")
  assert "LlamaModel has no head" in caplog.text and found.config.objective.backbone.tied
  table = networks.params["encoder/token_embedding"]
  np.testing.assert_array_equal(found.encoder.token_embedding[...], table)

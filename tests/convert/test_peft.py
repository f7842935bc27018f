"""An adapter in PEFT's layout is the difference that merging makes, by the tables of models."""

import json
import shutil

import jax
import numpy as np
import pytest
from flax import nnx
from their_tensors import made as tensors_of
from their_tensors import written_rules

from pretrainjax.config.objects import recipe
from pretrainjax.convert.peft import CONFIG, TENSORS, to_peft, write_peft
from pretrainjax.convert.safetensors import WHOLE, TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.lora import LoRA, merge_arrays

SIZES = {"vocab_size": 11, "max_length": 7, "embed_dim": 6, "num_heads": 2, "mlp_dim": 10}
# (network, class, patterns, their layers that have an update, of how many parts)
CASES = {
  "bert": (BERT, "BertModel", ("*attention/query", "*mlp/down"), 2, 1),
  "gpt2": (GPT, "GPT2LMHeadModel", ("*attention/query", "*attention/value", "*mlp/up"), 2, 2),
}


def made(name, **lora):
  """A network of noise with updates, its settings and its table."""
  network, kind, layers, _, _ = CASES[name]
  rules = written_rules(kind, {"backbone": recipe(network, num_layers=3, **SIZES)})
  lora = LoRA(rank=2, alpha=3.0, layers=layers, **lora)

  def init():
    module = Towers(encoder=network(num_layers=3, rngs=nnx.Rngs(0), **SIZES))
    lora.adapt(module, rngs=nnx.Rngs(1))
    return module

  rng = np.random.default_rng(0)
  shapes = nnx.to_pure_dict(nnx.state(nnx.eval_shape(init), nnx.Param))
  return jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), shapes), lora, rules


def never(path):
  return False


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_difference_that_merging_makes(name):
  params, lora, rules = made(name)
  adapter = to_peft(params, rules, lora=lora, is_trained=never)
  before = tensors_of(rules, merge_arrays(params, scale=0.0))
  after = tensors_of(rules, merge_arrays(params, scale=lora.scale))
  config, tensors = adapter.config, dict(adapter.tensors)
  assert len(config["target_modules"]) == 3 * CASES[name][3]
  for module in config["target_modules"]:
    a, b = (tensors.pop(f"base_model.model.{module}.lora_{x}.weight") for x in "AB")
    rank = next((r for key, r in config["rank_pattern"].items() if key == escaped(module)), 2)
    alpha = config["alpha_pattern"].get(escaped(module), config["lora_alpha"])
    assert a.shape[0] == b.shape[1] == rank
    delta = alpha / rank * b @ a
    delta = delta.T if config["fan_in_fan_out"] else delta
    np.testing.assert_allclose(
      before[f"{module}.weight"] + delta, after[f"{module}.weight"], atol=1e-5
    )
    before[f"{module}.weight"] = after[f"{module}.weight"]
  assert not tensors
  for tensor in before:
    np.testing.assert_array_equal(before[tensor], after[tensor], "nothing else has an update")
  assert config["fan_in_fan_out"] == (name == "gpt2")
  parts = CASES[name][4]
  assert set(config["rank_pattern"].values()) == ({2 * parts} if parts > 1 else set())


def escaped(module: str) -> str:
  return module.replace(".", r"\.")


def test_what_was_trained_whole_goes_with_it():
  params, lora, rules = made("bert")
  adapter = to_peft(
    params, rules, lora=lora, is_trained=lambda path: path[1] == "embedding_norm", base="b"
  )
  assert adapter.config["modules_to_save"] == ["embeddings.LayerNorm"]
  assert adapter.config["base_model_name_or_path"] == "b"
  np.testing.assert_array_equal(
    adapter.tensors["base_model.model.embeddings.LayerNorm.weight"],
    params["encoder"]["embedding_norm"]["scale"],
  )


def test_what_has_no_place_is_said():
  params, lora, rules = made("bert")
  fewer = tuple(rule for rule in rules if "down" not in str(rule.ours))
  with pytest.raises(UserError, match="no layer for the update of encoder/blocks/mlp/down"):
    to_peft(params, fewer, lora=lora, is_trained=never)
  with pytest.raises(UserError, match="found no low-rank updates"):
    to_peft(merge_arrays(params, scale=1.0), rules, lora=lora, is_trained=never)


def test_its_files_are_read_back(tmp_path):
  params, lora, rules = made("bert")
  adapter = to_peft(params, rules, lora=lora, is_trained=never)
  write_peft(tmp_path / "adapter", adapter)
  shutil.copy(tmp_path / "adapter" / TENSORS, tmp_path / WHOLE)
  found = TensorFolder(tmp_path)
  assert set(found) == set(adapter.tensors)
  for name, tensor in adapter.tensors.items():
    np.testing.assert_array_equal(found[name], tensor)
  assert json.loads((tmp_path / "adapter" / CONFIG).read_text()) == adapter.config

import json

import numpy as np
import pytest
from exported import SIZES, adapted_run, loaded

from pretrainjax.config.objects import recipe, spec
from pretrainjax.convert.peft import CONFIG, TENSORS
from pretrainjax.convert.safetensors import WHOLE, TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.adapter import write_adapter
from pretrainjax.export.write import write_transformers
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.objectives.supervised.classification import Classification

BACKBONE = recipe(BERT, **SIZES)
CLASSES = spec(
  Classification,
  backbone=BACKBONE,
  head=recipe(Head, in_dim=8, num_classes=3, hidden_dim=8, activation="tanh"),
  num_classes=3,
)
MLM = spec(MaskedLM, backbone=BACKBONE, head=recipe(MaskedLMHead, embed_dim=8, vocab_size=31))
HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}


def tensors_of(folder, networks):
  folder.mkdir()
  write_transformers(folder, networks, **HOW)
  return dict(TensorFolder(folder))


def written(folder, run, **how):
  """An adapter, its config and its tensors without their prefix."""
  folder.mkdir()
  adapter = write_adapter(folder, run, **{"part": None, "kind": None, "base": "b"} | how)
  (folder / TENSORS).rename(folder / WHOLE)
  found = {n.removeprefix("base_model.model."): x for n, x in TensorFolder(folder).items()}
  return adapter, json.loads((folder / CONFIG).read_text()), found


@pytest.mark.parametrize(
  ("objective", "kind", "task", "saved"),
  [
    (
      CLASSES,
      "BertForSequenceClassification",
      "SEQ_CLS",
      ["bert.pooler.dense", "classifier"],
    ),
    (MLM, "BertForMaskedLM", None, ["cls.predictions"]),
  ],
)
def test_base_and_adapter_make_the_run(objective, kind, task, saved, tmp_path):
  adapter, config, found = written(tmp_path / "adapter", adapted_run(objective))
  assert adapter.written.kind == kind and adapter.written.left == ()
  assert (config["task_type"], config["modules_to_save"]) == (task, saved)
  assert config["base_model_name_or_path"] == "b"
  assert adapter.written.num_parameters == sum(tensor.size for tensor in found.values())
  expected = tensors_of(tmp_path / "merged", adapter.networks)
  base = tensors_of(tmp_path / "base", adapter.base)
  assert base.keys() == expected.keys()
  for module in config["target_modules"]:
    a, b = (found.pop(f"{module}.lora_{x}.weight") for x in "AB")
    base[f"{module}.weight"] = base[f"{module}.weight"] + config["lora_alpha"] / config["r"] * b @ a
  copy = found.pop("cls.predictions.decoder.weight", None)  # PEFT wants saved modules whole
  if kind == "BertForMaskedLM":
    np.testing.assert_array_equal(copy, base["bert.embeddings.word_embeddings.weight"])
    bias = found.pop("cls.predictions.decoder.bias")
    np.testing.assert_array_equal(bias, found["cls.predictions.bias"])
  assert found and not any(np.any(base[name]) for name in found)
  for name, tensor in (base | found).items():
    np.testing.assert_allclose(tensor, expected[name], atol=1e-5, err_msg=name)


def test_what_has_no_place_is_told(tmp_path):
  adapter, config, found = written(tmp_path / "bare", adapted_run(CLASSES), kind="BertModel")
  assert adapter.written.left == ("head",) and config["modules_to_save"] is None
  assert all("lora_" in name for name in found)
  with pytest.raises(UserError, match="found a run without low-rank updates"):
    write_adapter(tmp_path, loaded(CLASSES), part=None, kind=None, base=None)

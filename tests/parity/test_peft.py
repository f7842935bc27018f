"""Our low-rank updates, loaded by the PEFT library onto the model that they belong to."""

import argparse
import re

import numpy as np
import pytest
from exported import SIZES as ENCODER
from exported import adapted_run
from flax import nnx
from their_tensors import made, written_rules
from transformers_models import jit, load, randomised

from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.objects import recipe, spec
from pretrainjax.convert.peft import TENSORS, to_peft, write_peft
from pretrainjax.errors import UserError
from pretrainjax.export.peft import make_adapter
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.lora import LoRA, merge_arrays
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.objectives.supervised.classification import Classification

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

pytestmark = [
  pytest.mark.parity,
  # PEFT asks transformers for what it will call otherwise.
  pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
SIZES = {"vocab_size": 37, "max_length": 13, "embed_dim": 15, "num_heads": 3, "mlp_dim": 22}
BERT_CONFIG = dict(
  vocab_size=37,
  hidden_size=15,
  num_hidden_layers=3,
  num_attention_heads=3,
  intermediate_size=22,
  max_position_embeddings=13,
  layer_norm_eps=1e-12,
)
GPT_CONFIG = dict(vocab_size=37, n_embd=15, n_layer=3, n_head=3, n_inner=22, n_positions=13)
TOKENS = np.random.default_rng(0).integers(0, 37, (4, 13))


def theirs(name, folder, tensors):
  if name == "bert":
    config = transformers.BertConfig(**BERT_CONFIG)
    return load(folder, "BertModel", config, tensors, add_pooling_layer=False)
  config = transformers.GPT2Config(**GPT_CONFIG, layer_norm_epsilon=1e-5)
  return load(folder, "GPT2LMHeadModel", config, tensors)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize(
  "layers", [("*attention/query", "*attention/value"), ("*attention/*", "*mlp/*")]
)
def test_peft_loads_it_and_computes_the_same(name, layers, tmp_path):
  lora = LoRA(rank=2, alpha=5.0, layers=layers)
  network, kind = {"bert": (BERT, "BertModel"), "gpt2": (GPT, "GPT2LMHeadModel")}[name]
  rules = written_rules(kind, {"backbone": recipe(network, num_layers=3, **SIZES)})
  module = Towers(encoder=network(num_layers=3, rngs=nnx.Rngs(0), **SIZES))
  lora.adapt(module, rngs=nnx.Rngs(1))
  graphdef, params = randomised(module)
  for folder in ("base", "adapter"):
    (tmp_path / folder).mkdir()
  base = theirs(name, tmp_path / "base", made(rules, merge_arrays(params, scale=0.0)))
  adapter = to_peft(params, rules, lora=lora, is_trained=lambda path: path[-1] == "position_table")
  write_peft(tmp_path / "adapter", adapter)
  model = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
  with torch.no_grad():
    out = model(torch.from_numpy(TOKENS), output_hidden_states=True)
  found = out.hidden_states[-1].numpy()
  expected = jit(lambda p: nnx.merge(graphdef, p).encoder(TOKENS).tokens)(params)
  np.testing.assert_allclose(found, expected, atol=1e-4)
  plain = jit(lambda p: nnx.merge(graphdef, p).encoder(TOKENS).tokens)(without_updates(params))
  assert np.abs(plain - expected).max() > 0.1, "the updates do something"


def without_updates(tree):
  return {
    key: without_updates(value)
    if isinstance(value, dict)
    else value * 0
    if key == "lora_b"
    else value
    for key, value in tree.items()
  }


RUNS = {
  "BertForSequenceClassification": spec(
    Classification,
    backbone=recipe(BERT, **ENCODER),
    head=recipe(Head, in_dim=8, num_classes=3, hidden_dim=8, activation="tanh"),
    num_classes=3,
  ),
  "BertForMaskedLM": spec(
    MaskedLM,
    backbone=recipe(BERT, **ENCODER),
    head=recipe(MaskedLMHead, embed_dim=8, vocab_size=31),
  ),
  "GPT2LMHeadModel": spec(CausalLM, backbone=recipe(GPT, **ENCODER)),
}


def largest(lines):
  return max(float(value) for value in re.findall(r"[0-9.]+e[-+][0-9]+", lines))


@pytest.mark.parametrize("kind", RUNS)
def test_what_is_exported_is_the_run(kind, tmp_path):
  """On its base model, in which all that was trained whole is zero."""
  run, options = adapted_run(RUNS[kind]), argparse.Namespace(base_model="base", architecture=None)
  made = make_adapter(tmp_path, run, reference=Reference.parse("run"), options=options)
  assert made.written.kind == f"adapter of {kind}" and made.written.left == ()
  assert largest(made.check()) < 1e-4
  content = (tmp_path / TENSORS).read_bytes()
  start = 8 + int.from_bytes(content[:8], "little")
  (tmp_path / TENSORS).write_bytes(content[:start] + bytes(len(content) - start))
  with pytest.raises(UserError, match="differ by"):
    made.check()

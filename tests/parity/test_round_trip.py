"""The whole circle: made by transformers, read here, trained, written, read by transformers.

For every class that loads: outputs on ordinary and odd inputs, a loss and its gradients are equal,
and what is written without training has the bytes of every tensor that was read.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from transformers_models import close, gradients_of, jit, saved, trees_close

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import vit
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.table import to_ours
from pretrainjax.export import check
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.objectives.split import split

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
# Odd sizes, and no default where ours could have been right by chance.
BERT = dict(
  vocab_size=37,
  hidden_size=15,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=22,
  max_position_embeddings=16,
  hidden_dropout_prob=0.0,
  attention_probs_dropout_prob=0.0,
)
DISTIL = dict(
  vocab_size=37,
  dim=15,
  n_layers=2,
  n_heads=3,
  hidden_dim=22,
  max_position_embeddings=16,
  **dict.fromkeys(("dropout", "attention_dropout", "seq_classif_dropout"), 0.0),
)
ELECTRA = BERT | dict(embedding_size=9, type_vocab_size=3)
MODERN = dict(
  vocab_size=37,
  hidden_size=12,
  num_hidden_layers=5,
  num_attention_heads=3,
  intermediate_size=22,
  max_position_embeddings=16,
  local_attention=4,
  norm_eps=1e-4,
  pad_token_id=0,
  bos_token_id=2,
  eos_token_id=3,
  cls_token_id=2,
  sep_token_id=3,
)
GPT = dict(
  vocab_size=37,
  n_positions=16,
  n_embd=15,
  n_layer=2,
  n_head=3,
  n_inner=22,
  layer_norm_epsilon=1e-3,
  bos_token_id=1,
  eos_token_id=1,
  **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
)
LLAMA = dict(
  vocab_size=37,
  hidden_size=24,
  num_hidden_layers=2,
  num_attention_heads=6,
  num_key_value_heads=2,
  intermediate_size=22,
  max_position_embeddings=16,
  rms_norm_eps=1e-3,
  rope_parameters={"rope_type": "default", "rope_theta": 77.0},
)
T5 = dict(
  vocab_size=31,
  d_model=12,
  d_kv=5,
  d_ff=20,
  num_layers=2,
  num_decoder_layers=3,
  num_heads=2,
  relative_attention_num_buckets=8,
  relative_attention_max_distance=17,
  dropout_rate=0.0,
  n_positions=16,
)
VIT = dict(
  image_size=15,
  patch_size=5,
  num_channels=2,
  hidden_size=24,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=40,
  layer_norm_eps=1e-4,
)
DINO = {name: value for name, value in VIT.items() if name != "intermediate_size"}
DINO |= dict(mlp_ratio=2, layerscale_value=0.3)
MAE = VIT | dict(
  decoder_hidden_size=20,
  decoder_num_hidden_layers=2,
  decoder_num_attention_heads=5,
  decoder_intermediate_size=28,
)
# name -> class, config's class, its arguments. A test has the page of what loads compared with it.
CASES = {
  "bert": ("BertForMaskedLM", "BertConfig", BERT | dict(hidden_act="relu", layer_norm_eps=1e-3)),
  "bert_pooler": ("BertModel", "BertConfig", BERT | dict(type_vocab_size=3)),
  "bert_classes": ("BertForSequenceClassification", "BertConfig", BERT | dict(num_labels=5)),
  "roberta": ("RobertaForMaskedLM", "RobertaConfig", BERT | dict(type_vocab_size=1)),
  "roberta_pooler": ("RobertaModel", "RobertaConfig", BERT | dict(pad_token_id=3)),
  "roberta_classes": (
    "RobertaForSequenceClassification",
    "RobertaConfig",
    BERT | dict(num_labels=3, type_vocab_size=1),
  ),
  "distilbert": ("DistilBertForMaskedLM", "DistilBertConfig", DISTIL | dict(activation="relu")),
  "distilbert_bare": (
    "DistilBertModel",
    "DistilBertConfig",
    DISTIL | dict(sinusoidal_pos_embds=True),
  ),
  "distilbert_classes": (
    "DistilBertForSequenceClassification",
    "DistilBertConfig",
    DISTIL | dict(num_labels=5),
  ),
  "dinov2": ("Dinov2Model", "Dinov2Config", DINO | dict(hidden_act="gelu_new")),
  "dinov2_registers": (
    "Dinov2WithRegistersModel",
    "Dinov2WithRegistersConfig",
    DINO | dict(num_register_tokens=2),
  ),
  "electra": ("ElectraForPreTraining", "ElectraConfig", ELECTRA | dict(hidden_act="gelu_new")),
  "electra_generator": ("ElectraForMaskedLM", "ElectraConfig", ELECTRA),
  "electra_bare": ("ElectraModel", "ElectraConfig", ELECTRA),
  "modern_bert": ("ModernBertForMaskedLM", "ModernBertConfig", MODERN),
  "modern_bert_bare": ("ModernBertModel", "ModernBertConfig", MODERN),
  "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT | dict(activation_function="relu")),
  "gpt2_bare": ("GPT2Model", "GPT2Config", GPT),
  "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
  "llama_tied": ("LlamaForCausalLM", "LlamaConfig", LLAMA | dict(tie_word_embeddings=True)),
  "mistral": ("MistralForCausalLM", "MistralConfig", LLAMA | dict(sliding_window=5)),
  "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", LLAMA),
  "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", LLAMA | dict(head_dim=6, tie_word_embeddings=True)),
  "t5": ("T5ForConditionalGeneration", "T5Config", T5 | dict(feed_forward_proj="relu")),
  "t5_1_1": (
    "T5ForConditionalGeneration",
    "T5Config",
    T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
  ),
  "t5_encoder": ("T5EncoderModel", "T5Config", T5 | dict(feed_forward_proj="gated-silu")),
  "vit": ("ViTModel", "ViTConfig", VIT | dict(hidden_act="gelu_new", pooler_output_size=24)),
  "vit_classes": ("ViTForImageClassification", "ViTConfig", VIT | dict(num_labels=7)),
  "vit_mae": ("ViTMAEForPreTraining", "ViTMAEConfig", MAE),
}


def made(name):
  """Their model of a case, with random values everywhere, as they would have it in memory."""
  kind, config, arguments = CASES[name]
  torch.manual_seed(0)
  model = getattr(transformers, kind)(getattr(transformers, config)(**arguments)).eval()
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(torch.randn_like(parameter) * 0.1)
  if kind.startswith("Dinov2"):  # what is left behind is written as zeros
    model.embeddings.mask_token.data.zero_()
  if kind == "ViTMAEForPreTraining":  # transformers 5 makes the fixed tables of zeros
    for table in (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed):
      table.data = torch.from_numpy(vit.with_cls_row(sincos_table(table.shape[-1], (3, 3))))
  return model


def case_of(networks):
  """Padded texts, or images of any pixels."""
  cases = {case.name: case for case in check.cases(networks)}
  return cases.get("padded texts") or cases["ordinary images"]


def our_loss(networks, kind, case, weights):
  """loss(params): the outputs of what is there, each times a number of its own."""
  graphdef, params, extras = split(nnx.Dict(networks.modules))

  def loss(params):
    found = check.ours_of(nnx.merge(graphdef, params, extras), kind, case)
    return jnp.sum(jnp.asarray(found) * weights) / weights.size

  return loss, params


def their_gradients(model, kind, case, weights):
  """Their loss, and its gradients by the names of their parameters."""
  found = check.theirs_of(torch, model, kind, case)
  loss = (found * torch.from_numpy(weights)).sum() / weights.size
  loss.backward()
  return loss.item(), gradients_of(model)


def as_ours(gradients, networks, kind):
  """Their gradients by our names; where no gradient can come ours has zeros too."""
  family, _, arguments = class_for(networks.recipes, kind=kind)
  table = family.table(networks.recipes, kind, Tokens())
  named = {table.plain(name): value for name, value in gradients.items()}
  others = (*table.buffers, *(re.escape(name) for name in (*table.constants, *table.copies)))
  named = {n: v for n, v in named.items() if not any(re.search(o, n) for o in others)}
  return to_ours(table.rules, named)


@pytest.mark.parametrize("name", CASES)
def test_read_train_write(name, tmp_path):
  kind, model = CASES[name][0], made(name)
  tensors = {
    n.replace("decoder_encoder.layer", "decoder_layers"): t  # their slip, see convert/vit
    for n, t in saved(model, tmp_path).items()
  }
  loaded = load(f"hf:{tmp_path}")
  networks = networks_of(loaded, None)

  case = case_of(networks)
  with torch.no_grad():
    expected = check.theirs_of(torch, model, kind, case).numpy()
  present = np.ones(expected.shape[:2], bool) if case.present is None else case.present
  rng = np.random.default_rng(3)
  weights = np.where(present[..., None] if expected.ndim > 2 else present, 1, 0)
  weights = np.float32(weights * rng.normal(size=expected.shape))
  loss, params = our_loss(networks, kind, case, weights)
  both = jit(jax.value_and_grad(loss))
  value, gradients = both(params)
  their_value, theirs = their_gradients(model, kind, case, weights)
  close(value, their_value, "loss")
  trees_close(gradients, as_ours(theirs, networks, kind))

  again = tmp_path / "again"
  again.mkdir()
  how = {"tokenizer": None, "kind": kind, "dtype": "float32", "max_shard_size": 2000}
  assert write_transformers(again, networks, **how).kind == kind
  assert len(list(again.glob("*.safetensors"))) > 1
  found = load_all(again)
  assert {n: t.tobytes() for n, t in found.items()} == {n: t.tobytes() for n, t in tensors.items()}

  for _ in range(2):
    params = jax.tree.map(lambda p, g: p - 0.5 * g, params, both(params)[1])
  nnx.update(nnx.Dict(networks.modules), params)
  networks = networks_of(loaded, None)
  trained = tmp_path / "trained"
  trained.mkdir()
  written = write_transformers(trained, networks, **how)
  lines = check.differences(trained, networks, written)
  assert len(lines) > 3 and max(lines.values()) < 1e-4, lines


def load_all(folder):
  """The tensors of all files of a folder, by their library."""
  import safetensors.numpy

  files = (safetensors.numpy.load_file(path) for path in folder.glob("*.safetensors"))
  return {name: tensor for file in files for name, tensor in file.items()}

"""Our GPT <-> Hugging Face's GPT2LMHeadModel.

Its linear layers are Conv1D, laid out as ours, and queries, keys and values are fused.
"""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import SAME, Rule, linear_rules, norm_rules
from pretrainjax.models.gpt import GPT

MODEL_TYPE = "gpt2"
CLASSES = {"GPT2LMHeadModel": Holds(("backbone",)), "GPT2Model": Holds(("backbone",))}
_PREFIX = "transformer."
_TABLE = f"{_PREFIX}wte.weight"


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  for name in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"):
    fields.must_be(name, False)
  fields.must_be("scale_attn_weights", True)
  fields.must_be("tie_word_embeddings", True)
  width = fields.integer("n_embd", 768)
  backbone = recipe(
    GPT,
    vocab_size=fields.integer("vocab_size", 50257),
    max_length=fields.integer("n_positions", 1024),
    embed_dim=width,
    num_layers=fields.integer("n_layer", 12),
    num_heads=fields.integer("n_head", 12),
    mlp_dim=fields.integer("n_inner", 4 * width),
    activation=fields.activation("activation_function", "gelu_new"),
    eps=fields.number("layer_norm_epsilon", 1e-5),
    dropout=fields.one_rate("resid_pdrop", "embd_pdrop", default=0.1),
    attention_dropout=fields.rate("attn_pdrop", 0.1),
    init_std=fields.number("initializer_range", 0.02),
  )
  return {"backbone": backbone}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  return makes(recipes["backbone"], GPT)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  return {
    "vocab_size": backbone.vocab_size,
    "n_positions": backbone.max_length,
    "n_embd": backbone.embed_dim,
    "n_layer": backbone.num_layers,
    "n_head": backbone.num_heads,
    "n_inner": backbone.mlp_dim,
    "activation_function": their_activation(backbone.activation),
    "layer_norm_epsilon": backbone.eps,
    "resid_pdrop": backbone.dropout,
    "embd_pdrop": backbone.dropout,
    "attn_pdrop": backbone.attention_dropout,
    "initializer_range": backbone.init_std,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
    "bos_token_id": tokens.begin,
    "eos_token_id": tokens.end,
    "pad_token_id": tokens.pad,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  return Table(
    _rules(),
    plain=lambda name: with_prefix(name, _PREFIX, ("lm_head.", "score.")),
    written=lambda name: name.removeprefix(_PREFIX) if kind == "GPT2Model" else name,
    copies={"lm_head.weight": _TABLE},
    buffers=(r"\.attn\.(masked_)?bias$",),  # causal masks, which older files hold
  )


def _rules() -> tuple[Rule, ...]:
  layer, ours = f"{_PREFIX}h.{{layer}}", "encoder/blocks"
  fused = tuple(f"{ours}/attention/{part}" for part in ("query", "key", "value"))
  kernels, biases = (tuple(f"{p}/{name}" for p in fused) for name in ("kernel", "bias"))
  return (
    Rule("encoder/token_embedding", _TABLE, SAME),
    Rule("encoder/position_table", f"{_PREFIX}wpe.weight", SAME),
    *norm_rules(f"{ours}/norm1", f"{layer}.ln_1"),
    Rule(kernels, f"{layer}.attn.c_attn.weight", SAME, axis=1),
    Rule(biases, f"{layer}.attn.c_attn.bias", SAME),
    *linear_rules(f"{ours}/attention/out", f"{layer}.attn.c_proj", layout=SAME),
    *norm_rules(f"{ours}/norm2", f"{layer}.ln_2"),
    *linear_rules(f"{ours}/mlp/up", f"{layer}.mlp.c_fc", layout=SAME),
    *linear_rules(f"{ours}/mlp/down", f"{layer}.mlp.c_proj", layout=SAME),
    *norm_rules("encoder/norm", f"{_PREFIX}ln_f"),
  )

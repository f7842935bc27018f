"""Our Llama <-> Hugging Face's LlamaForCausalLM.

Channels of queries and keys are paired as theirs (i with i + half), so that nothing is permuted.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import Fields, rope_theta
from pretrainjax.convert.table import (
  SAME,
  Rule,
  Tensors,
  drop_copies,
  linear_rules,
  norm_rules,
  to_ours,
  to_theirs,
)
from pretrainjax.models.llama import Llama

MODEL_TYPE = "llama"
CLASSES = {"LlamaForCausalLM": Holds(("backbone",))}
_PREFIX = "model."
_TABLE, _HEAD = f"{_PREFIX}embed_tokens.weight", "lm_head.weight"
# Wavelengths of rotary positions, which older files hold.
_WAVES = re.compile(r"rotary_emb\.inv_freq$")


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  fields.must_be("hidden_act", "silu", "swish")
  for name in ("attention_bias", "mlp_bias"):
    fields.must_be(name, False)
  fields.must_be("pretraining_tp", 1)
  width, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
  if width % heads or fields.integer("head_dim", width // heads) * heads != width:
    raise fields.refused("head_dim", f"hidden_size / num_attention_heads, {width} / {heads}")
  backbone = recipe(
    Llama,
    vocab_size=fields.integer("vocab_size"),
    max_length=fields.integer("max_position_embeddings", 2048),
    embed_dim=width,
    num_layers=fields.integer("num_hidden_layers"),
    num_heads=heads,
    num_kv_heads=fields.integer("num_key_value_heads", heads),
    mlp_dim=fields.integer("intermediate_size"),
    tied=fields.flag("tie_word_embeddings", False),
    theta=rope_theta(fields, default=10_000.0, old="rope_theta"),
    eps=fields.number("rms_norm_eps", 1e-6),
    attention_dropout=fields.rate("attention_dropout", 0.0),
    init_std=fields.number("initializer_range", 0.02),
  )
  return {"backbone": backbone}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  return makes(recipes["backbone"], Llama)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`: `rope_parameters` for 5, the rest for 4."""
  backbone = recipes["backbone"]
  return {
    "vocab_size": backbone.vocab_size,
    "max_position_embeddings": backbone.max_length,
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "num_key_value_heads": backbone.num_kv_heads or backbone.num_heads,
    "head_dim": backbone.embed_dim // backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "tie_word_embeddings": backbone.tied,
    "rope_theta": backbone.theta,
    "rope_parameters": {"rope_type": "default", "rope_theta": backbone.theta},
    "rms_norm_eps": backbone.eps,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "attention_dropout": backbone.attention_dropout,
    "initializer_range": backbone.init_std,
    "bos_token_id": tokens.begin,
    "eos_token_id": tokens.end,
    "pad_token_id": tokens.pad,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  tied = recipes["backbone"].tied
  return Table(
    tuple(rule.under("encoder/") for rule in rules(tied=tied)),
    copies={_HEAD: _TABLE} if tied else {},
    buffers=(_WAVES.pattern,),
  )


def rules(*, tied: bool) -> tuple[Rule, ...]:
  """The table of a Llama's parameters, whose head is the table of tokens or its own."""
  layer = f"{_PREFIX}layers.{{layer}}"
  linears = {
    "attention/query": "self_attn.q_proj",
    "attention/key": "self_attn.k_proj",
    "attention/value": "self_attn.v_proj",
    "attention/out": "self_attn.o_proj",
    "mlp/gate": "mlp.gate_proj",
    "mlp/up": "mlp.up_proj",
    "mlp/down": "mlp.down_proj",
  }
  table = (Rule("token_embedding", _TABLE, SAME),)
  table += () if tied else (Rule("output_embedding", _HEAD, SAME),)
  table += norm_rules("blocks/norm1", f"{layer}.input_layernorm", bias=False)
  table += norm_rules("blocks/norm2", f"{layer}.post_attention_layernorm", bias=False)
  for ours, theirs in linears.items():
    table += linear_rules(f"blocks/{ours}", f"{layer}.{theirs}", bias=False)
  return table + norm_rules("norm", f"{_PREFIX}norm", bias=False)


def to_hf(params: Mapping[str, Any]) -> Tensors:
  """A Llama's parameters as those of LlamaForCausalLM.

  Args:
    params: pure nested dict of a `Llama`; if it has no output_embedding, its head is tied, which
      config.json must say (tie_word_embeddings).

  Returns:
    Tensors by name; a tied head is not among them.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  return to_theirs(rules(tied="output_embedding" not in params), params)


def from_hf(tensors: Mapping[str, np.ndarray], *, tied: bool) -> dict[str, Any]:
  """The inverse of `to_hf`.

  Args:
    tensors: the tensors of a LlamaForCausalLM.
    tied: tie_word_embeddings of its config.json.

  Returns:
    A pure nested dict.

  Raises:
    UserError: for tensors that are missing or unknown, or a head that is not tied but should be.
  """
  named = {name: tensor for name, tensor in tensors.items() if not _WAVES.search(name)}
  return to_ours(rules(tied=tied), drop_copies(named, {_HEAD: _TABLE}) if tied else named)

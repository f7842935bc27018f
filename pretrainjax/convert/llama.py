"""Our Llama <-> Hugging Face's LlamaForCausalLM.

Channels of queries and keys are paired as theirs (i with i + half), so that nothing is permuted. In
config.json: rms_norm_eps as our eps, rope_theta (version 5: in rope_parameters) as our theta.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

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

_PREFIX = "model."
_TABLE, _HEAD = f"{_PREFIX}embed_tokens.weight", "lm_head.weight"
# Wavelengths of rotary positions, which older files hold.
_WAVES = re.compile(r"rotary_emb\.inv_freq$")


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

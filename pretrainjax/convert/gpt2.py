"""Our GPT <-> Hugging Face's GPT2LMHeadModel.

Its linear layers are Conv1D, laid out as ours, and queries, keys and values are fused. In
config.json: activation_function gelu_new, layer_norm_epsilon as our eps.
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

_PREFIX = "transformer."
_TABLE = f"{_PREFIX}wte.weight"
# Causal masks, which older files hold.
_MASKS = re.compile(r"\.attn\.(masked_)?bias$")


def rules() -> tuple[Rule, ...]:
  """The table of a GPT's parameters and their names on the other side."""
  layer, ours = f"{_PREFIX}h.{{layer}}", "blocks"
  fused = tuple(f"{ours}/attention/{part}" for part in ("query", "key", "value"))
  kernels, biases = (tuple(f"{p}/{name}" for p in fused) for name in ("kernel", "bias"))
  return (
    Rule("token_embedding", _TABLE, SAME),
    Rule("position_table", f"{_PREFIX}wpe.weight", SAME),
    *norm_rules(f"{ours}/norm1", f"{layer}.ln_1"),
    Rule(kernels, f"{layer}.attn.c_attn.weight", SAME, axis=1),
    Rule(biases, f"{layer}.attn.c_attn.bias", SAME),
    *linear_rules(f"{ours}/attention/out", f"{layer}.attn.c_proj", layout=SAME),
    *norm_rules(f"{ours}/norm2", f"{layer}.ln_2"),
    *linear_rules(f"{ours}/mlp/up", f"{layer}.mlp.c_fc", layout=SAME),
    *linear_rules(f"{ours}/mlp/down", f"{layer}.mlp.c_proj", layout=SAME),
    *norm_rules("norm", f"{_PREFIX}ln_f"),
  )


def to_hf(params: Mapping[str, Any]) -> Tensors:
  """A GPT's parameters as those of GPT2LMHeadModel.

  Args:
    params: pure nested dict of a `GPT`.

  Returns:
    Tensors by name; the head is tied, so that it is not among them.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  return to_theirs(rules(), params)


def from_hf(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """The inverse of `to_hf`.

  Args:
    tensors: the tensors of a GPT2LMHeadModel, or of a GPT2Model, whose names lack "transformer.".

  Returns:
    A pure nested dict.

  Raises:
    UserError: for tensors that are missing or unknown, or a head that is not tied.
  """
  named = {
    name if name.startswith((_PREFIX, "lm_head.")) else f"{_PREFIX}{name}": tensor
    for name, tensor in tensors.items()
    if not _MASKS.search(name)
  }
  return to_ours(rules(), drop_copies(named, {"lm_head.weight": _TABLE}))

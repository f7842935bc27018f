"""Our T5 (an encoder and a decoder) <-> Hugging Face's T5ForConditionalGeneration.

Write into config.json `feed_forward_proj: gated-gelu`, `tie_word_embeddings`, the numbers of
`relative_attention` (32 and 128) and `layer_norm_epsilon: 1e-6`. A decoder without a table of its
own is one with tied embeddings.
"""

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

_SHARED, _HEAD = "shared.weight", "lm_head.weight"
_COPIES = {f"{side}.embed_tokens.weight": _SHARED for side in ("encoder", "decoder")}


def to_hf(params: Mapping[str, Any]) -> Tensors:
  """A T5's parameters as the tensors of T5ForConditionalGeneration.

  Args:
    params: pure nested dict of a module with `encoder` (a `T5Encoder`) and `decoder` (a
      `T5Decoder`).

  Returns:
    Tensors by name, shared ones once.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  return to_theirs(_rules(tied="output_table" not in params["decoder"]), params)


def from_hf(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """The inverse of `to_hf`; without a head, or with a copy of the table as one, it is tied.

  Raises:
    UserError: for tensors that are missing or unknown.
  """
  named = drop_copies(dict(tensors), _COPIES)
  tied = _HEAD not in named or np.array_equal(named[_HEAD], named.get(_SHARED, ()))
  if tied:
    named.pop(_HEAD, None)
  return to_ours(_rules(tied=tied), named)


def _rules(*, tied: bool) -> tuple[Rule, ...]:
  head = () if tied else (Rule("decoder/output_table", _HEAD, SAME),)
  shared = Rule("encoder/token_embedding", _SHARED, SAME)
  return (shared, *_side("encoder", cross=False), *_side("decoder", cross=True), *head)


def _side(side: str, *, cross: bool) -> tuple[Rule, ...]:
  """The table of one stack; attention to the other one stands between the two other layers."""
  block, ours = f"{side}.block.{{layer}}.layer", f"{side}/blocks"
  last = 1 + cross
  bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
  rules = (
    Rule(f"{side}/relative_bias/table", bias, SAME),
    *_attention(f"{ours}/attention", f"{block}.0.SelfAttention"),
    *norm_rules(f"{ours}/norm1", f"{block}.0.layer_norm", bias=False),
    *norm_rules(f"{ours}/norm2", f"{block}.{last}.layer_norm", bias=False),
    *norm_rules(f"{side}/norm", f"{side}.final_layer_norm", bias=False),
  )
  if cross:
    rules += _attention(f"{ours}/cross_attention", f"{block}.1.EncDecAttention")
    rules += norm_rules(f"{ours}/norm_cross", f"{block}.1.layer_norm", bias=False)
  for name, theirs in (("gate", "wi_0"), ("up", "wi_1"), ("down", "wo")):
    dense = f"{block}.{last}.DenseReluDense.{theirs}"
    rules += linear_rules(f"{ours}/mlp/{name}", dense, bias=False)
  return rules


def _attention(ours: str, theirs: str) -> tuple[Rule, ...]:
  rules: tuple[Rule, ...] = ()
  for name, letter in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o")):
    rules += linear_rules(f"{ours}/{name}", f"{theirs}.{letter}", bias=False)
  return rules

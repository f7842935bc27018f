"""Our ModernBERT <-> Hugging Face's ModernBertModel and ModernBertForMaskedLM.

Write into config.json what the model was made with: `global_attn_every_n_layers`,
`local_attention` (our window), `global_rope_theta`, `local_rope_theta`, `norm_eps`; all biases but
`decoder_bias` are false.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pretrainjax.convert.table import (
  LINEAR,
  SAME,
  Rule,
  Tensors,
  drop_copies,
  linear_rules,
  norm_rules,
  to_ours,
  to_theirs,
)

_COPIES = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}


def to_hf(params: Mapping[str, Any]) -> Tensors:
  """A masked language model's parameters as the tensors of ModernBertForMaskedLM.

  Args:
    params: pure nested dict of a module with `encoder` (a `ModernBERT`) and `head` (a
      `MaskedLMHead` with norm="layer_scale" and without bias of its linear layer).

  Returns:
    Tensors by name; the table of tokens, to which the decoder is tied, is there once.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  return to_theirs(_rules(), params)


def from_hf(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """The inverse of `to_hf`.

  Args:
    tensors: the tensors of a ModernBertForMaskedLM.

  Returns:
    A pure nested dict {"encoder": ..., "head": ...}.

  Raises:
    UserError: for tensors that are missing or unknown, or a decoder that is not tied.
  """
  return to_ours(_rules(), drop_copies(tensors, _COPIES))


def encoder_to_hf(params: Mapping[str, Any]) -> Tensors:
  """A ModernBERT's parameters as the tensors of ModernBertModel."""
  return to_theirs(_encoder_rules("", ""), params)


def encoder_from_hf(
  tensors: Mapping[str, np.ndarray], *, ignore: tuple[str, ...] = ("head.", "decoder.")
) -> dict[str, Any]:
  """The inverse of `encoder_to_hf`; a prefix "model." is taken off, a head left out."""
  named = {n.removeprefix("model."): t for n, t in tensors.items() if not n.startswith(ignore)}
  return to_ours(_encoder_rules("", ""), named)


def _rules() -> tuple[Rule, ...]:
  return (
    *_encoder_rules("encoder/", "model."),
    *linear_rules("head/dense", "head.dense", bias=False),
    *norm_rules("head/norm", "head.norm", bias=False),
    Rule("head/bias", "decoder.bias", SAME),
  )


def _encoder_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
  layer = f"{theirs}layers.{{layer}}"
  return (
    Rule(f"{ours}token_embedding", f"{theirs}embeddings.tok_embeddings.weight", SAME),
    *norm_rules(f"{ours}embedding_norm", f"{theirs}embeddings.norm", bias=False),
    # Their layer 0, which has no norm before attention, is not in our stack.
    *_block_rules(f"{ours}stem", f"{theirs}layers.0", first=0),
    *_block_rules(f"{ours}blocks", layer, first=1),
    *norm_rules(f"{ours}blocks/norm1", f"{layer}.attn_norm", bias=False, first=1),
    *norm_rules(f"{ours}norm", f"{theirs}final_norm", bias=False),
  )


def _block_rules(ours: str, theirs: str, *, first: int) -> tuple[Rule, ...]:
  attention = tuple(f"{ours}/attention/{name}/kernel" for name in ("query", "key", "value"))
  perceptron = (f"{ours}/mlp/gate/kernel", f"{ours}/mlp/up/kernel")
  return (
    Rule(attention, f"{theirs}.attn.Wqkv.weight", LINEAR, first=first),
    Rule(perceptron, f"{theirs}.mlp.Wi.weight", LINEAR, first=first),
    *linear_rules(f"{ours}/attention/out", f"{theirs}.attn.Wo", bias=False, first=first),
    *linear_rules(f"{ours}/mlp/down", f"{theirs}.mlp.Wo", bias=False, first=first),
    *norm_rules(f"{ours}/norm2", f"{theirs}.mlp_norm", bias=False, first=first),
  )

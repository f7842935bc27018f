"""Our BERT <-> Hugging Face's BertModel and BertForMaskedLM, and what RoBERTa and ELECTRA share.

Write into config.json what the model was made with: `layer_norm_eps`, `hidden_act`,
`type_vocab_size`, `pad_token_id`. Poolers are left out, as ours belong to heads.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pretrainjax.convert.table import (
  SAME,
  Layout,
  Rule,
  Tensors,
  drop_copies,
  linear_rules,
  norm_rules,
  to_ours,
  to_theirs,
)

# What published files have beside the encoder: buffers, and the parts of other objectives.
UNUSED = ("bert.pooler.", "pooler.", "cls.seq_relationship.")
_HEAD = "cls.predictions"
_COPIES = {
  f"{_HEAD}.decoder.weight": "bert.embeddings.word_embeddings.weight",
  f"{_HEAD}.decoder.bias": f"{_HEAD}.bias",
}


def to_hf(params: Mapping[str, Any]) -> Tensors:
  """A masked language model's parameters as the tensors of BertForMaskedLM.

  Args:
    params: pure nested dict of a module with `encoder` (a `BERT` without projection) and `head`
      (a `MaskedLMHead`).

  Returns:
    Tensors by name; the table of tokens, to which the decoder is tied, is there once.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  return to_theirs(_rules(), params)


def from_hf(
  tensors: Mapping[str, np.ndarray], *, ignore: tuple[str, ...] = UNUSED
) -> dict[str, Any]:
  """The inverse of `to_hf`.

  Args:
    tensors: the tensors of a BertForMaskedLM or BertForPreTraining.
    ignore: prefixes of tensors to leave out on purpose.

  Returns:
    A pure nested dict {"encoder": ..., "head": ...}.

  Raises:
    UserError: for tensors that are missing or unknown, or a decoder that is not tied.
  """
  return to_ours(_rules(), drop_copies(plain_names(tensors, ignore), _COPIES))


def encoder_to_hf(params: Mapping[str, Any]) -> Tensors:
  """A BERT's parameters as the tensors of BertModel(add_pooling_layer=False)."""
  return to_theirs(encoder_rules("", ""), params)


def encoder_from_hf(
  tensors: Mapping[str, np.ndarray], *, ignore: tuple[str, ...] = (*UNUSED, "cls.")
) -> dict[str, Any]:
  """The inverse of `encoder_to_hf`; the prefix "bert." of models that contain one is taken off."""
  named = plain_names(tensors, ignore)
  return to_ours(encoder_rules("", ""), {n.removeprefix("bert."): t for n, t in named.items()})


def encoder_rules(
  ours: str, theirs: str, *, positions: Layout = SAME, projection: bool = False
) -> tuple[Rule, ...]:
  """The table of an encoder.

  Args:
    ours: prefix of our paths, "" or "encoder/".
    theirs: prefix of their names, "" or "bert.".
    positions: layout of the table of positions.
    projection: whether tables are narrower than tokens (ELECTRA).
  """
  tables = f"{theirs}embeddings"
  rules = (
    Rule(f"{ours}token_embedding", f"{tables}.word_embeddings.weight", SAME),
    Rule(f"{ours}position_table", f"{tables}.position_embeddings.weight", positions),
    Rule(f"{ours}type_embedding", f"{tables}.token_type_embeddings.weight", SAME),
    *norm_rules(f"{ours}embedding_norm", f"{tables}.LayerNorm"),
    *_block_rules(f"{ours}blocks", f"{theirs}encoder.layer.{{layer}}"),
  )
  if projection:
    rules += linear_rules(f"{ours}embedding_projection", f"{theirs}embeddings_project")
  return rules


def plain_names(tensors: Mapping[str, np.ndarray], ignore: tuple[str, ...]) -> Tensors:
  """The tensors by today's names, without buffers and what is ignored.

  Files made from TensorFlow's call scale and shift of layer norms gamma and beta.
  """
  named = {}
  for name, tensor in tensors.items():
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    if not name.startswith(ignore) and not name.endswith("embeddings.position_ids"):
      named[name] = tensor
  return named


def _rules() -> tuple[Rule, ...]:
  return (
    *encoder_rules("encoder/", "bert."),
    *linear_rules("head/dense", f"{_HEAD}.transform.dense"),
    *norm_rules("head/norm", f"{_HEAD}.transform.LayerNorm"),
    Rule("head/bias", f"{_HEAD}.bias", SAME),
  )


def _block_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
  linears = {
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/out": "attention.output.dense",
    "mlp/up": "intermediate.dense",
    "mlp/down": "output.dense",
  }
  rules = norm_rules(f"{ours}/norm1", f"{theirs}.attention.output.LayerNorm")
  rules += norm_rules(f"{ours}/norm2", f"{theirs}.output.LayerNorm")
  for our_name, their_name in linears.items():
    rules += linear_rules(f"{ours}/{our_name}", f"{theirs}.{their_name}")
  return rules

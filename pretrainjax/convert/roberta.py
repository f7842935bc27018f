"""Our BERT with one type <-> Hugging Face's RobertaModel and RobertaForMaskedLM.

Their positions begin at `pad_token_id` + 1, which is 2 in all published models: the table has two
rows more than ours, so write `max_position_embeddings: max_length + 2`, `pad_token_id: 1`,
`type_vocab_size: 1` and `layer_norm_eps: 1e-5` into config.json. Padding must have token 1.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pretrainjax.convert.bert import encoder_rules, plain_names
from pretrainjax.convert.table import (
  SAME,
  Rule,
  Tensors,
  drop_copies,
  linear_rules,
  norm_rules,
  rows_after,
  to_ours,
  to_theirs,
)

UNUSED = ("roberta.pooler.", "pooler.")
_POSITIONS = rows_after(2)
_COPIES = {
  "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
  "lm_head.decoder.bias": "lm_head.bias",
}


def to_hf(params: Mapping[str, Any]) -> Tensors:
  """A masked language model's parameters as the tensors of RobertaForMaskedLM.

  Args:
    params: pure nested dict of a module with `encoder` (a `BERT` with num_types=1) and `head` (a
      `MaskedLMHead`).

  Returns:
    Tensors by name; the two first rows of the positions are 0, and used for padding at most.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  return to_theirs(_rules(), params)


def from_hf(
  tensors: Mapping[str, np.ndarray], *, ignore: tuple[str, ...] = UNUSED
) -> dict[str, Any]:
  """The inverse of `to_hf`.

  Args:
    tensors: the tensors of a RobertaForMaskedLM.
    ignore: prefixes of tensors to leave out on purpose.

  Returns:
    A pure nested dict {"encoder": ..., "head": ...}.

  Raises:
    UserError: for tensors that are missing or unknown, or a decoder that is not tied.
  """
  return to_ours(_rules(), drop_copies(plain_names(tensors, ignore), _COPIES))


def encoder_to_hf(params: Mapping[str, Any]) -> Tensors:
  """A BERT's parameters as the tensors of RobertaModel(add_pooling_layer=False)."""
  return to_theirs(encoder_rules("", "", positions=_POSITIONS), params)


def encoder_from_hf(
  tensors: Mapping[str, np.ndarray], *, ignore: tuple[str, ...] = (*UNUSED, "lm_head.")
) -> dict[str, Any]:
  """The inverse of `encoder_to_hf`; a prefix "roberta." is taken off."""
  named = plain_names(tensors, ignore)
  rules = encoder_rules("", "", positions=_POSITIONS)
  return to_ours(rules, {n.removeprefix("roberta."): t for n, t in named.items()})


def _rules() -> tuple[Rule, ...]:
  return (
    *encoder_rules("encoder/", "roberta.", positions=_POSITIONS),
    *linear_rules("head/dense", "lm_head.dense"),
    *norm_rules("head/norm", "lm_head.layer_norm"),
    Rule("head/bias", "lm_head.bias", SAME),
  )

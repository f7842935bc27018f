"""Our ELECTRA <-> Hugging Face's ElectraForPreTraining and ElectraForMaskedLM, two models.

Write into both config.json `embedding_size`, the width of the tables, which the two share, and
`hidden_size`, in which they differ; `layer_norm_eps` is 1e-12.
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
  flatten,
  linear_rules,
  norm_rules,
  to_ours,
  to_theirs,
)
from pretrainjax.errors import UserError

_PROJECTION = "embeddings_project"
_SHARED = ("token_embedding", "position_table", "type_embedding", "embedding_norm")
_COPIES = {"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"}


def discriminator_to_hf(params: Mapping[str, Any]) -> Tensors:
  """The encoder and its detector as the tensors of ElectraForPreTraining.

  Args:
    params: pure nested dict of an `Electra`'s module; its other networks may be missing.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  params = {name: params[name] for name in ("encoder", "detector")}
  return to_theirs(_discriminator_rules("embedding_projection" in params["encoder"]), params)


def discriminator_from_hf(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """The inverse of `discriminator_to_hf`: {"encoder": ..., "detector": ...}."""
  named = plain_names(tensors, ())
  return to_ours(_discriminator_rules(_is_projected(named)), named)


def generator_to_hf(params: Mapping[str, Any]) -> Tensors:
  """The generator, with the tables it shares, as the tensors of ElectraForMaskedLM.

  Args:
    params: pure nested dict of an `Electra`'s module, with `encoder`, `generator` and `head`.

  Raises:
    UserError: for parameters that the class has no place for.
  """
  tables = {name: params["encoder"][name] for name in _SHARED}
  params = {"encoder": {**tables, **params["generator"]}, "head": params["head"]}
  return to_theirs(_generator_rules("embedding_projection" in params["encoder"]), params)


def generator_from_hf(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """A generator with tables of its own, a `BERT`, and its head: {"encoder": ..., "head": ...}."""
  named = drop_copies(plain_names(tensors, ()), _COPIES)
  return to_ours(_generator_rules(_is_projected(named)), named)


def from_hf(
  *, discriminator: Mapping[str, np.ndarray], generator: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  """Both models as the parameters of one `Electra`'s module.

  Args:
    discriminator: tensors of an ElectraForPreTraining.
    generator: tensors of an ElectraForMaskedLM.

  Raises:
    UserError: for tensors that are missing or unknown, or a generator with other tables than the
      discriminator's.
  """
  ours, other = discriminator_from_hf(discriminator), generator_from_hf(generator)
  tables = {name: other["encoder"].pop(name) for name in _SHARED}
  expected = flatten({name: ours["encoder"][name] for name in _SHARED})
  for name, table in flatten(tables).items():
    if not np.array_equal(table, expected[name]):
      raise UserError(f"conversion: {name} of generator and discriminator differ: not shared")
  return ours | {"generator": other["encoder"], "head": other["head"]}


def encoder_to_hf(params: Mapping[str, Any]) -> Tensors:
  """A BERT's parameters as the tensors of ElectraModel."""
  return to_theirs(encoder_rules("", "", projection="embedding_projection" in params), params)


def encoder_from_hf(
  tensors: Mapping[str, np.ndarray],
  *,
  ignore: tuple[str, ...] = ("discriminator_", "generator_"),
) -> dict[str, Any]:
  """The inverse of `encoder_to_hf`; a prefix "electra." is taken off, heads left out."""
  named = {n.removeprefix("electra."): t for n, t in plain_names(tensors, ignore).items()}
  return to_ours(encoder_rules("", "", projection=_is_projected(named)), named)


def _is_projected(tensors: Mapping[str, np.ndarray]) -> bool:
  return any(_PROJECTION in name for name in tensors)


def _discriminator_rules(projection: bool) -> tuple[Rule, ...]:
  theirs = "discriminator_predictions"
  return (
    *encoder_rules("encoder/", "electra.", projection=projection),
    *linear_rules("detector/hidden", f"{theirs}.dense"),
    *linear_rules("detector/classifier", f"{theirs}.dense_prediction"),
  )


def _generator_rules(projection: bool) -> tuple[Rule, ...]:
  return (
    *encoder_rules("encoder/", "electra.", projection=projection),
    *linear_rules("head/dense", "generator_predictions.dense"),
    *norm_rules("head/norm", "generator_predictions.LayerNorm"),
    Rule("head/bias", "generator_lm_head.bias", SAME),
  )

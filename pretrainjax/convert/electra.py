"""Our ELECTRA <-> Hugging Face's ElectraForPreTraining and ElectraForMaskedLM, two models.

The two share tables of `embedding_size`, and differ in `hidden_size`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.bert import (
  BUFFERS,
  encoder_rules,
  is_encoder,
  plain_name,
  plain_names,
  read_encoder,
  write_encoder,
)
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields
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
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead

MODEL_TYPE = "electra"
CLASSES = {
  "ElectraForPreTraining": Holds(("backbone", "detector")),
  "ElectraForMaskedLM": Holds(("backbone", "head")),
  "ElectraModel": Holds(("backbone",)),
}
_PROJECTION = "embeddings_project"
_SHARED = ("token_embedding", "position_table", "type_embedding", "embedding_norm")
_COPIES = {"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  sizes = read_encoder(fields) | {"embedding_dim": fields.integer("embedding_size", 128)}
  backbone = recipe(BERT, **sizes)
  if kind == "ElectraForPreTraining":
    hidden = {"hidden_dim": backbone.embed_dim, "activation": backbone.activation}
    detector = recipe(Head, in_dim=backbone.embed_dim, num_classes=1, **hidden)
    return {"backbone": backbone, "detector": detector}
  if kind == "ElectraForMaskedLM":
    names = ("embed_dim", "embedding_dim", "vocab_size", "eps", "init_std")
    return {"backbone": backbone, "head": recipe(MaskedLMHead, **{n: backbone[n] for n in names})}
  return {"backbone": backbone}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, head = recipes["backbone"], recipes.get("head")
  if not is_encoder(backbone) or backbone.position_offset:
    return False
  if kind == "ElectraForPreTraining":
    detector = recipes["detector"]
    hidden = (detector.hidden_dim, detector.activation) if makes(detector, Head) else None
    return hidden == (backbone.embed_dim, backbone.activation) and detector.num_classes == 1
  is_narrow = backbone.embedding_dim not in (None, backbone.embed_dim)
  if kind == "ElectraForMaskedLM":
    is_head = makes(head, MaskedLMHead) and (head.norm, head.use_bias) == ("layer", True)
    return is_narrow and is_head and (head.activation, head.eps) == ("gelu", backbone.eps)
  return is_narrow


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  return write_encoder(backbone, tokens) | {
    "embedding_size": backbone.embedding_dim or backbone.embed_dim,
    "max_position_embeddings": backbone.max_length,
    "type_vocab_size": backbone.num_types,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  is_narrow = backbone.embedding_dim not in (None, backbone.embed_dim)
  rules = encoder_rules("encoder/", "electra.", projection=is_narrow)
  if kind == "ElectraForPreTraining":
    rules = _discriminator_rules(is_narrow)
  if kind == "ElectraForMaskedLM":
    rules = _generator_rules(is_narrow)
  heads = ("discriminator_predictions.", "generator_predictions.", "generator_lm_head.")
  return Table(
    rules,
    plain=lambda name: with_prefix(plain_name(name), "electra.", heads),
    written=lambda name: name.removeprefix("electra.") if kind == "ElectraModel" else name,
    copies=_COPIES,
    buffers=BUFFERS,
  )


def as_generator(
  recipes: Recipes, trees: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """The generator of an `Electra` as a masked language model with tables of its own.

  Args:
    recipes: what makes the networks of the objective.
    trees: the parameters of "encoder", whose tables are shared, "generator" and "head".

  Returns:
    The recipes "backbone" and "head", and the parameters of both by path.
  """
  tables = {name: tree for name, tree in trees["encoder"].items() if name in _SHARED}
  params = {"encoder": {**tables, **trees["generator"]}, "head": trees["head"]}
  return {"backbone": recipes["generator"], "head": recipes["head"]}, flatten(params)


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

"""Our ELECTRA <-> Hugging Face's ElectraForPreTraining and ElectraForMaskedLM, two models.

The two share tables of `embedding_size`, and differ in `hidden_size`.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.bert import (
  BUFFERS,
  encoder_rules,
  is_encoder,
  is_narrow,
  plain_name,
  read_encoder,
  write_encoder,
)
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import SAME, Rule, flatten, linear_rules, norm_rules
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead

MODEL_TYPE = "electra"
CLASSES = {
  "ElectraForPreTraining": Holds(("backbone", "detector")),
  "ElectraForMaskedLM": Holds(("backbone", "head")),
  "ElectraModel": Holds(("backbone",)),
}
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
  if kind == "ElectraForMaskedLM":
    is_head = makes(head, MaskedLMHead) and (head.norm, head.use_bias) == ("layer", True)
    is_theirs = is_head and (head.activation, head.eps) == ("gelu", backbone.eps)
    return is_narrow(backbone) and is_theirs
  return is_narrow(backbone)


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
  rules = encoder_rules("electra.", projection=is_narrow(recipes["backbone"]))
  if kind == "ElectraForPreTraining":
    rules += linear_rules("detector/hidden", "discriminator_predictions.dense")
    rules += linear_rules("detector/classifier", "discriminator_predictions.dense_prediction")
  if kind == "ElectraForMaskedLM":
    rules += linear_rules("head/dense", "generator_predictions.dense")
    rules += norm_rules("head/norm", "generator_predictions.LayerNorm")
    rules += (Rule("head/bias", "generator_lm_head.bias", SAME),)
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

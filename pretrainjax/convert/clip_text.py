"""Our causal TextTower <-> Hugging Face's CLIPTextModel, and its projection."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import towers
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import linear_rules
from pretrainjax.models.text_tower import TextTower

MODEL_TYPE = "clip_text_model"
_PROJECTED = "CLIPTextModelWithProjection"
CLASSES = {_PROJECTED: Holds(("backbone", "projector")), "CLIPTextModel": Holds(("backbone",))}
# The end that older files name, wrongly: it stands for the token of the highest id.
_HIGHEST = 2


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  backbone = read_tower(fields)
  if kind != _PROJECTED:
    return {"backbone": backbone}
  width = fields.integer("projection_dim", 512)
  made = towers.projector(backbone.embed_dim, width, use_bias=False)
  return {"backbone": backbone, "projector": made}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  is_known = kind != _PROJECTED or towers.is_projector(recipes["projector"], use_bias=False)
  return is_known and is_tower(recipes["backbone"])


def is_tower(backbone: ConfigDict) -> bool:
  """Whether a recipe makes an encoder of texts that their class can express."""
  arguments = {"causal": True, "pool": "end", "fill_id": None}
  return towers.is_text_tower(backbone, **arguments) and backbone.end_id != _HIGHEST


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  made = recipes.get("projector")
  width = {} if made is None else {"projection_dim": made.out_dim}
  return write_tower(recipes["backbone"], tokens) | width


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = towers.text_rules("encoder/")
  if kind == _PROJECTED:
    rules += linear_rules("projector/linear0", "text_projection", bias=False)
  return towers.tower_table(rules, towers.TEXT)


def read_tower(fields: Fields) -> ConfigDict:
  """The recipe of the encoder of texts out of its config.json."""
  end_id = fields.integer("eos_token_id", 49407, lowest=0)
  return recipe(
    TextTower,
    vocab_size=fields.integer("vocab_size", 49408),
    max_length=fields.integer("max_position_embeddings", 77),
    end_id=None if end_id == _HIGHEST else end_id,
    attention_dropout=fields.rate("attention_dropout", 0.0),
    init_std=fields.number("initializer_range", 0.02),
    **towers.read_sizes(fields, width=512, heads=8, mlp=2048, activation="quick_gelu", eps=1e-5),
  )


def write_tower(backbone: ConfigDict, tokens: Tokens) -> dict[str, Any]:
  """What config.json says of the encoder of texts.

  Args:
    backbone: the recipe of the encoder.
    tokens: the special tokens of its tokenizer.
  """
  return towers.write_sizes(backbone) | {
    "vocab_size": backbone.vocab_size,
    "max_position_embeddings": backbone.max_length,
    "attention_dropout": backbone.attention_dropout,
    "initializer_range": backbone.init_std,
    "eos_token_id": _HIGHEST if backbone.end_id is None else backbone.end_id,
    "bos_token_id": tokens.begin,
    "pad_token_id": tokens.pad,
  }

"""Our TextTower that sees all, with its projector <-> Hugging Face's SiglipTextModel.

SigLIP reads rows that are filled up to the longest, without a mask: `padding="max_length"` there.
"""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import towers
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import linear_rules
from pretrainjax.models.text_tower import TextTower

MODEL_TYPE = "siglip_text_model"
CLASSES = {"SiglipTextModel": Holds(("backbone", "projector"))}
HEAD = f"{towers.TEXT}head"


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  return read_tower(fields)


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone = recipes["backbone"]
  is_known = towers.is_text_tower(backbone, causal=False, pool="last")
  is_filled = is_known and backbone.fill_id is not None
  return is_filled and towers.is_projector(recipes["projector"], use_bias=True)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  return towers.write_sizes(backbone) | {
    "vocab_size": backbone.vocab_size,
    "max_position_embeddings": backbone.max_length,
    "attention_dropout": backbone.attention_dropout,
    "projection_size": recipes["projector"].out_dim,
    "pad_token_id": backbone.fill_id,
    "bos_token_id": tokens.begin,
    "eos_token_id": tokens.end,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = towers.text_rules("encoder/") + linear_rules("projector/linear0", HEAD)
  return towers.tower_table(rules, towers.TEXT)


def read_tower(fields: Fields) -> dict[str, ConfigDict]:
  """The recipes of the encoder of texts and its projector out of a config.json."""
  backbone = recipe(
    TextTower,
    vocab_size=fields.integer("vocab_size", 32000),
    max_length=fields.integer("max_position_embeddings", 64),
    causal=False,
    pool="last",
    fill_id=fields.integer("pad_token_id", 1, lowest=0),
    attention_dropout=fields.rate("attention_dropout", 0.0),
    **towers.read_sizes(
      fields, width=768, heads=12, mlp=3072, activation="gelu_pytorch_tanh", eps=1e-6
    ),
  )
  width = fields.integer("projection_size", backbone.embed_dim)
  return {
    "backbone": backbone,
    "projector": towers.projector(backbone.embed_dim, width, use_bias=True),
  }

"""Our ViT with layer scale and registers <-> Hugging Face's Dinov2WithRegistersModel."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.dinov2 import fits_encoder, read_encoder, table, write_encoder
from pretrainjax.convert.family import Holds, Recipes, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.models.vit import ViT

__all__ = ["CLASSES", "MODEL_TYPE", "fits", "read_config", "table", "write_config"]

MODEL_TYPE = "dinov2_with_registers"
_CLASSIFIER = "Dinov2WithRegistersForImageClassification"
CLASSES = {"Dinov2WithRegistersModel": Holds(("backbone",)), _CLASSIFIER: Holds(("backbone",))}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  registers = {"num_registers": fields.integer("num_register_tokens", 4)}
  return {"backbone": recipe(ViT, **read_encoder(fields, patch_size=16), **registers)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  return kind != _CLASSIFIER and fits_encoder(recipes["backbone"], registers=True)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  return write_encoder(backbone) | {"num_register_tokens": backbone.num_registers}

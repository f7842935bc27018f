"""Our Llama with normalised queries and keys <-> Hugging Face's Qwen3ForCausalLM and Qwen3Model."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.llama import is_decoder, read_qwen, table, write_qwen
from pretrainjax.models.llama import Llama

__all__ = ["CLASSES", "MODEL_TYPE", "fits", "read_config", "table", "write_config"]

MODEL_TYPE = "qwen3"
CLASSES = {"Qwen3ForCausalLM": Holds(("backbone",)), "Qwen3Model": Holds(("backbone",))}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  fields.must_be("attention_bias", False)
  return {"backbone": recipe(Llama, **read_qwen(fields, kind, head_dim=128), qk_norm=True)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  return is_decoder(recipes["backbone"], qk_norm=True, windowed=True)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  return write_qwen(recipes["backbone"], tokens) | {"attention_bias": False}

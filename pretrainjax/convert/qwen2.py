"""Our Llama with biases of queries, keys and values <-> Qwen2ForCausalLM and Qwen2Model."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.llama import is_decoder, read_qwen, table, write_qwen
from pretrainjax.models.llama import Llama

__all__ = ["CLASSES", "MODEL_TYPE", "fits", "read_config", "table", "write_config"]

MODEL_TYPE = "qwen2"
CLASSES = {"Qwen2ForCausalLM": Holds(("backbone",)), "Qwen2Model": Holds(("backbone",))}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  return {"backbone": recipe(Llama, **read_qwen(fields, kind), qkv_bias=True)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  return is_decoder(recipes["backbone"], qkv_bias=True, windowed=True)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  return write_qwen(recipes["backbone"], tokens)

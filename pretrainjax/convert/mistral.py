"""Our Llama with a window <-> Hugging Face's MistralForCausalLM and MistralModel."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.llama import is_decoder, read_decoder, table, write_decoder
from pretrainjax.models.llama import Llama

__all__ = ["CLASSES", "MODEL_TYPE", "fits", "read_config", "table", "write_config"]

MODEL_TYPE = "mistral"
CLASSES = {"MistralForCausalLM": Holds(("backbone",)), "MistralModel": Holds(("backbone",))}
# What their class takes where config.json says nothing; null is no window.
_WINDOW = 4096


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  kv_heads = fields.integer("num_key_value_heads")
  length = fields.integer("max_position_embeddings", 131_072)
  window = None
  if fields.values.get("sliding_window", _WINDOW) is not None:
    # Theirs counts the token itself.
    window = fields.integer("sliding_window", _WINDOW, lowest=2) - 1
  sizes = read_decoder(fields, kind, kv_heads=kv_heads, length=length)
  return {"backbone": recipe(Llama, **sizes, window=window)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  return is_decoder(recipes["backbone"], windowed=True)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  window = recipes["backbone"].window
  fields = {"sliding_window": None if window is None else window + 1}
  return write_decoder(recipes["backbone"], tokens) | fields

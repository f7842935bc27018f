"""Our HuBERT <-> Hugging Face's HubertModel and HubertForCTC; what it pretrains with they lack."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import linear_rules
from pretrainjax.convert.wav2vec2 import (
  encoder_rules,
  plain_name,
  read_encoder,
  read_head,
  read_processor,
  write_encoder,
  write_head,
  write_processor,
)
from pretrainjax.models.heads import CTCHead
from pretrainjax.models.hubert import HuBERT

__all__ = [
  "CLASSES",
  "MODEL_TYPE",
  "fits",
  "read_config",
  "read_processor",
  "table",
  "write_config",
  "write_processor",
]

MODEL_TYPE = "hubert"
CLASSES = {"HubertForCTC": Holds(("backbone", "head")), "HubertModel": Holds(("backbone",))}
_PREFIX = "hubert."
_COUNTER = f"{_PREFIX}encoder.pos_conv_embed.batch_norm.num_batches_tracked"
_POSITIONS = {False: "weight", True: "batch"}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  own = {
    "feature_norm": fields.flag("feat_proj_layer_norm", True),
    "position_norm": _POSITIONS[fields.flag("conv_pos_batch_norm", False)],
  }
  backbone = recipe(HuBERT, **read_encoder(fields), **own)
  is_bare = kind == "HubertModel"
  return {"backbone": backbone} | ({} if is_bare else {"head": read_head(fields)})


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  is_held = kind == "HubertModel" or makes(recipes.get("head"), CTCHead)
  return makes(recipes["backbone"], HuBERT) and is_held


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  fields = write_encoder(backbone) | {
    "feat_proj_layer_norm": backbone.feature_norm,
    "conv_pos_batch_norm": backbone.position_norm == "batch",
  }
  return fields | (write_head(recipes["head"]) if kind == "HubertForCTC" else {})


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  rules = encoder_rules(backbone, _PREFIX)
  if kind == "HubertForCTC":
    rules += linear_rules("head/classifier", "lm_head")
  counts = backbone.position_norm == "batch"
  return Table(
    rules,
    plain=lambda name: plain_name(name, _PREFIX, ("lm_head.",)),
    written=lambda name: name.removeprefix(_PREFIX) if kind == "HubertModel" else name,
    others=(r"^lm_head\.",),
    fillers={_COUNTER: np.zeros((), np.int64)} if counts else {},
  )

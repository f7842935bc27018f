"""Our two towers <-> Hugging Face's SiglipModel, which also has its towers as classes.

See `siglip_vision` and `siglip_text` for those. SigLIP 2 of a fixed size of images is the same.
"""

import math
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import siglip_text, siglip_vision, towers
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import Layout, Rule, linear_rules
from pretrainjax.models.two_towers import Similarity

MODEL_TYPE = "siglip"
CLASSES = {"SiglipModel": Holds(("image", "text", "text_projector", "similarity"))}
# A number: ours has no axis, theirs one.
_NUMBER = Layout(lambda x: np.reshape(x, 1), lambda x: np.reshape(x, ()))


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  vision, texts = (fields.inner(f"{name}_config") for name in ("vision", "text"))
  vision.must_be("model_type", siglip_vision.MODEL_TYPE)
  vision.must_be("vision_use_head", True)
  texts.must_be("model_type", siglip_text.MODEL_TYPE)
  image, text = siglip_vision.read_tower(vision), siglip_text.read_tower(texts)
  if text["projector"].out_dim != image.embed_dim:
    raise texts.refused("projection_size", f"{image.embed_dim}, the width of images' features")
  return {
    "image": image,
    "text": text["backbone"],
    "text_projector": text["projector"],
    # Which numbers it starts from config.json does not say: those of arXiv 2303.15343.
    "similarity": recipe(Similarity, log_scale=math.log(10), bias=-10.0),
  }


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  image, similarity = recipes["image"], recipes["similarity"]
  return (
    recipes.get("image_projector") is None
    and makes(similarity, Similarity)
    and similarity.bias is not None
    and siglip_vision.fits({"backbone": image}, "SiglipVisionModel")
    and image.pool == "map"
    and siglip_text.fits(towers.of_tower(recipes, "text"), "SiglipTextModel")
  )


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  vision = siglip_vision.write_tower(recipes["image"])
  text = siglip_text.write_config(towers.of_tower(recipes, "text"), kind, tokens)
  return {
    "vision_config": vision | {"model_type": siglip_vision.MODEL_TYPE},
    "text_config": text | {"model_type": siglip_text.MODEL_TYPE},
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = (
    *siglip_vision.tower_rules(recipes["image"], "image/"),
    *towers.text_rules("text/"),
    *linear_rules("text_projector/linear0", siglip_text.HEAD),
    Rule("similarity/log_scale", "logit_scale", _NUMBER),
    Rule("similarity/bias", "logit_bias", _NUMBER),
  )
  return Table(rules, buffers=towers.BUFFERS)

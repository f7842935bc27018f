"""Our two towers <-> Hugging Face's CLIPModel, which also has its towers as classes by themselves.

See `clip_vision` and `clip_text` for those.
"""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import clip_text, clip_vision, towers
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import SAME, Rule, linear_rules
from pretrainjax.models.two_towers import Similarity

MODEL_TYPE = "clip"
_NETWORKS = ("image", "text", "image_projector", "text_projector", "similarity")
CLASSES = {"CLIPModel": Holds(_NETWORKS)}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  image = clip_vision.read_tower(_tower(fields, "vision"))
  text = clip_text.read_tower(_tower(fields, "text"))
  width = fields.integer("projection_dim", 512)
  log_scale = fields.number("logit_scale_init_value", 2.6592, lowest=-100.0)
  return {
    "image": image,
    "text": text,
    "image_projector": towers.projector(image.embed_dim, width, use_bias=False),
    "text_projector": towers.projector(text.embed_dim, width, use_bias=False),
    "similarity": recipe(Similarity, log_scale=log_scale),
  }


def _tower(fields: Fields, name: str) -> Fields:
  """The values of one tower; old files have them twice, and the second ones hold."""
  old = f"{name}_config_dict"
  found = fields.inner(f"{name}_config" if fields.get(old, None) is None else old)
  found.must_be("model_type", f"clip_{name}_model")
  return found


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  similarity, image = recipes["similarity"], towers.of_tower(recipes, "image")
  return (
    makes(similarity, Similarity)
    and similarity.bias is None
    and clip_vision.fits(image, "CLIPVisionModelWithProjection")
    and clip_text.fits(towers.of_tower(recipes, "text"), "CLIPTextModelWithProjection")
  )


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  image, text = (towers.of_tower(recipes, name) for name in ("image", "text"))
  vision = clip_vision.write_config(image, kind, tokens)
  return {
    "vision_config": vision | {"model_type": clip_vision.MODEL_TYPE},
    "text_config": clip_text.write_config(text, kind, tokens)
    | {"model_type": clip_text.MODEL_TYPE},
    "projection_dim": recipes["image_projector"].out_dim,
    "logit_scale_init_value": recipes["similarity"].log_scale,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = (
    *clip_vision.tower_rules(recipes["image"], "image/"),
    *towers.text_rules("text/"),
    *linear_rules("image_projector/linear0", "visual_projection", bias=False),
    *linear_rules("text_projector/linear0", "text_projection", bias=False),
    Rule("similarity/log_scale", "logit_scale", SAME),
  )
  return Table(rules, buffers=towers.BUFFERS)

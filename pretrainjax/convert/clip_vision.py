"""Our ViT with norms around its blocks <-> Hugging Face's CLIPVisionModel, and its projection."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import towers
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import SAME, Rule, linear_rules, norm_rules
from pretrainjax.models.vit import ViT

MODEL_TYPE = "clip_vision_model"
_PROJECTED = "CLIPVisionModelWithProjection"
CLASSES = {_PROJECTED: Holds(("backbone", "projector")), "CLIPVisionModel": Holds(("backbone",))}
# The scaling of images in OpenAI's code, https://github.com/openai/CLIP, clip/clip.py.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
# What makes a `ViT` CLIP's: the class token alone is normalised at the end.
_ARGUMENTS = {
  "pool": "cls",
  "use_cls": True,
  "cls_position": True,
  "patch_bias": False,
  "embedding_norm": True,
  "final_norm": False,
  "pool_norm": True,
}


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
  return is_known and towers.is_image_tower(recipes["backbone"], **_ARGUMENTS)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone, made = recipes["backbone"], recipes.get("projector")
  width = {} if made is None else {"projection_dim": made.out_dim}
  return towers.write_sizes(backbone) | towers.write_patches(backbone) | width


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = tower_rules(recipes["backbone"], "encoder/")
  if kind == _PROJECTED:
    rules += linear_rules("projector/linear0", "visual_projection", bias=False)
  return towers.tower_table(rules, towers.IMAGE)


def read_tower(fields: Fields) -> ConfigDict:
  """The recipe of the encoder of images out of its config.json."""
  patches = towers.read_patches(fields, patch_size=32)
  sizes = towers.read_sizes(
    fields, width=768, heads=12, mlp=3072, activation="quick_gelu", eps=1e-5
  )
  scaling = {"image_mean": _MEAN, "image_std": _STD} if patches["num_channels"] == 3 else {}
  return recipe(ViT, **patches, **sizes, **_ARGUMENTS, **scaling)


def tower_rules(backbone: ConfigDict, ours: str) -> tuple[Rule, ...]:
  """The table of the encoder of images.

  Args:
    backbone: the recipe of the encoder.
    ours: what begins the paths of our parameters, "encoder/" or "image/".
  """
  positions = (f"{ours}cls_position", f"{ours}position_table")
  tables = f"{towers.IMAGE}embeddings"
  return (
    Rule(f"{ours}cls_token", f"{tables}.class_embedding", SAME),
    Rule(positions, f"{tables}.position_embedding.weight", SAME, cut=1),
    *norm_rules(f"{ours}embedding_norm", f"{towers.IMAGE}pre_layrnorm"),  # so they spell it
    *towers.image_rules(backbone, ours),
    *norm_rules(f"{ours}pool_norm", f"{towers.IMAGE}post_layernorm"),
  )

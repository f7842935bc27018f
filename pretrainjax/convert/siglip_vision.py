"""Our ViT with pooling by attention, or by the mean <-> Hugging Face's SiglipVisionModel."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import towers
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import LINEAR, SAME, TOKEN, Rule, linear_rules, norm_rules
from pretrainjax.models.vit import ViT

MODEL_TYPE = "siglip_vision_model"
CLASSES = {"SiglipVisionModel": Holds(("backbone",))}
_ARGUMENTS = {
  "use_cls": False,
  "cls_position": False,
  "patch_bias": True,
  "embedding_norm": False,
  "final_norm": True,
  "pool_norm": False,
}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  return {"backbone": read_tower(fields)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone = recipes["backbone"]
  return towers.is_image_tower(backbone, **_ARGUMENTS) and backbone.pool in ("map", "mean")


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  return write_tower(recipes["backbone"])


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  return towers.tower_table(tower_rules(recipes["backbone"], "encoder/"), towers.IMAGE)


def read_tower(fields: Fields) -> ConfigDict:
  """The recipe of the encoder of images out of its config.json.

  Without their pooling `pooled` is the mean of patches, which their classifiers read.
  """
  return recipe(
    ViT,
    pool="map" if fields.flag("vision_use_head", True) else "mean",
    **towers.read_patches(fields, patch_size=16),
    **towers.read_sizes(
      fields, width=768, heads=12, mlp=3072, activation="gelu_pytorch_tanh", eps=1e-6
    ),
    **_ARGUMENTS,
  )


def write_tower(backbone: ConfigDict) -> dict[str, Any]:
  """What config.json says of the encoder of images."""
  sizes = towers.write_sizes(backbone) | towers.write_patches(backbone)
  return sizes | {"vision_use_head": backbone.pool == "map"}


def tower_rules(backbone: ConfigDict, ours: str) -> tuple[Rule, ...]:
  """The table of the encoder of images.

  Args:
    backbone: the recipe of the encoder.
    ours: what begins the paths of our parameters, "encoder/" or "image/".
  """
  tables = f"{towers.IMAGE}embeddings"
  rules = (
    Rule(f"{ours}position_table", f"{tables}.position_embedding.weight", SAME),
    *towers.image_rules(backbone, ours),
    *norm_rules(f"{ours}norm", f"{towers.IMAGE}post_layernorm"),
  )
  return rules + (_pooling_rules(f"{ours}attention_pool") if backbone.pool == "map" else ())


def _pooling_rules(ours: str) -> tuple[Rule, ...]:
  """The table of the pooling; queries, keys and values are fused, as torch's own attention is."""
  theirs = f"{towers.IMAGE}head"
  fused = tuple(f"{ours}/attention/{part}" for part in ("query", "key", "value"))
  kernels, biases = (tuple(f"{part}/{name}" for part in fused) for name in ("kernel", "bias"))
  return (
    Rule(f"{ours}/probe", f"{theirs}.probe", TOKEN),
    Rule(kernels, f"{theirs}.attention.in_proj_weight", LINEAR),
    Rule(biases, f"{theirs}.attention.in_proj_bias", SAME),
    *linear_rules(f"{ours}/attention/out", f"{theirs}.attention.out_proj"),
    *norm_rules(f"{ours}/norm", f"{theirs}.layernorm"),
    *linear_rules(f"{ours}/mlp/up", f"{theirs}.mlp.fc1"),
    *linear_rules(f"{ours}/mlp/down", f"{theirs}.mlp.fc2"),
  )

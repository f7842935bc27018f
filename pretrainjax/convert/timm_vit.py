"""Our ViT <-> timm's VisionTransformer, of the plain architectures, DeiT's and DINOv2's.

Its layer norms add 1e-6, always, and queries, keys and values are fused. Registers have no
positions here, which is timm's no_embed_class.
"""

import itertools
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import timm_config
from pretrainjax.convert.classes import is_linear
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import (
  LINEAR,
  ROWS,
  SAME,
  TOKEN,
  Rule,
  linear_rules,
  norm_rules,
  patch_layout,
)
from pretrainjax.convert.vit import grid_of, has_plain_patches
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.models.vit import VARIANTS, ViT

LIBRARY = "timm"
MODEL_TYPE = "VisionTransformer"
CLASSES = {"VisionTransformer": Holds(("backbone",), optional=("head",))}
_EPS = 1e-6
_SIZES = dict(zip(("tiny", "small", "base", "large", "huge"), VARIANTS.values(), strict=True))
_PLAIN = (
  *itertools.product(("vit_tiny",), ("patch16_224", "patch16_384")),
  *itertools.product(
    ("vit_small", "vit_base", "vit_large"),
    ("patch32_224", "patch32_384", "patch16_224", "patch16_384"),
  ),
  *itertools.product(("vit_small", "vit_base"), ("patch8_224",)),
  *itertools.product(("vit_large", "vit_huge"), ("patch14_224",)),
  *itertools.product(("deit_tiny", "deit_small", "deit_base"), ("patch16_224",)),
  ("deit_base", "patch16_384"),
)
_DINO = itertools.product(
  ("vit_small", "vit_base", "vit_large"), ("patch14_dinov2", "patch14_reg4_dinov2")
)


def _arguments_of(kind: str, rest: str) -> dict[str, Any]:
  """What an architecture's function gives to the class."""
  size = _SIZES[kind.partition("_")[2]]
  found = {"embed_dim": size.embed_dim, "depth": size.num_layers, "num_heads": size.num_heads}
  found["patch_size"] = int(rest.partition("_")[0].removeprefix("patch"))
  if rest.endswith("dinov2"):
    found["init_values"] = 1e-5
  if "reg4" in rest:
    found |= {"reg_tokens": 4, "no_embed_class": True}
  return found


ARCHITECTURES = {f"{kind}_{rest}": _arguments_of(kind, rest) for kind, rest in (*_PLAIN, *_DINO)}
_ANY = "vit_base_patch16_224"  # which other sizes are written as, all of them said
_POOLS = {"token": "cls", "avg": "mean"}
_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}
_READ = (
  *("img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads"),
  *("mlp_ratio", "class_token", "no_embed_class", "reg_tokens", "init_values", "global_pool"),
  *("fc_norm", "final_norm", "act_layer", "drop_rate", "pos_drop_rate", "proj_drop_rate"),
  *("drop_path_rate", "weight_init", "fix_init"),  # the last two are of new networks only
)
# The arguments of timm's class that ours can follow, and the only values that some may have.
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
  **dict.fromkeys(_READ, ()),
  "qkv_bias": (True,),
  "proj_bias": (True,),
  "pos_embed": ("learn",),
  **dict.fromkeys(("qk_norm", "pre_norm", "pool_include_prefix", "dynamic_img_size"), (False,)),
  **dict.fromkeys(("dynamic_img_pad", "scale_attn_norm", "scale_mlp_norm"), (False,)),
  **dict.fromkeys(("patch_drop_rate", "attn_drop_rate"), (0.0, 0)),
}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  own = ARCHITECTURES[fields.get("architecture")]
  found = timm_config.arguments_of(fields, own, _ARGUMENTS)
  width, channels = found.integer("embed_dim"), found.integer("in_chans")
  pool = found.choice("global_pool", _POOLS, "token")
  last, behind = found.flag("final_norm", True), found.flag("fc_norm", pool == "mean")
  scale = found.get("init_values", None)
  backbone = recipe(
    ViT,
    image_size=_image_size(found),
    patch_size=found.integer("patch_size"),
    num_channels=channels,
    embed_dim=width,
    num_layers=found.integer("depth"),
    num_heads=found.integer("num_heads"),
    mlp_dim=int(width * found.number("mlp_ratio", 4.0)),
    pool=pool,
    layer_scale=None if scale is None else found.number("init_values"),
    activation=found.choice("act_layer", _ACTIVATIONS, "gelu"),
    eps=_EPS,
    drop_path=found.rate("drop_path_rate", 0.0),
    dropout=found.one_rate("pos_drop_rate", "proj_drop_rate", default=0.0),
    final_norm=last and not behind,
    pool_norm=last and behind,
    **_tokens(found),
    **timm_config.read_statistics(fields, channels),
  )
  return {"backbone": backbone, **timm_config.read_head(found, width)}


def _image_size(found: Fields) -> int | tuple[int, int]:
  size = found.get("img_size")
  if isinstance(size, int):
    return found.integer("img_size")
  sides = found.integers("img_size")
  if len(sides) != 2:
    raise found.refused("img_size", "rows and columns")
  return sides[0] if sides[0] == sides[1] else (sides[0], sides[1])


def _tokens(found: Fields) -> dict[str, Any]:
  """The arguments of `ViT` for what stands before the patches, and for positions."""
  registers = found.integer("reg_tokens", 0, lowest=0)
  use_cls, bare = found.flag("class_token", True), found.flag("no_embed_class", False)
  if registers and not bare:
    raise found.refused("no_embed_class", "True: our registers have no positions")
  return {
    "use_cls": use_cls,
    "num_registers": registers,
    "position": "learned",
    "cls_position": use_cls and not bare,
  }


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, head = recipes["backbone"], recipes.get("head")
  if not makes(backbone, ViT) or backbone.eps != _EPS or backbone.gated:
    return False
  if not has_plain_patches(backbone):
    return False
  norms = not (backbone.final_norm and backbone.pool_norm)
  positions = not (backbone.num_registers and backbone.cls_position)
  known = backbone.pool in _POOLS.values() and backbone.activation in _ACTIVATIONS.values()
  return norms and positions and known and (head is None or is_linear(head))


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  size, width = backbone.image_size, backbone.embed_dim
  ratio = backbone.mlp_dim / width
  if int(width * ratio) != backbone.mlp_dim:  # as rounded there
    ratio = (backbone.mlp_dim + 0.5) / width
  arguments = {
    "img_size": list(size) if isinstance(size, tuple) else size,
    "patch_size": backbone.patch_size,
    "embed_dim": width,
    "depth": backbone.num_layers,
    "num_heads": backbone.num_heads,
    "mlp_ratio": ratio,
    "class_token": backbone.use_cls,
    "no_embed_class": not backbone.cls_position,
    "reg_tokens": backbone.num_registers,
    "global_pool": next(theirs for theirs, ours in _POOLS.items() if ours == backbone.pool),
    "final_norm": backbone.final_norm or backbone.pool_norm,
    "fc_norm": backbone.pool_norm,
    "act_layer": backbone.activation,
    "pos_drop_rate": backbone.dropout,
    "proj_drop_rate": backbone.dropout,
    "drop_path_rate": backbone.drop_path,
  }
  if backbone.layer_scale is not None:
    arguments["init_values"] = backbone.layer_scale
  return timm_config.write(
    _architecture(backbone),
    arguments,
    backbone=backbone,
    head=recipes.get("head"),
    num_features=width,
    layers=("patch_embed.proj", "head"),
    fixed_size=True,
  )


def _architecture(backbone: ConfigDict) -> str:
  own = {"embed_dim": backbone.embed_dim, "depth": backbone.num_layers}
  own |= {"num_heads": backbone.num_heads, "patch_size": backbone.patch_size}
  plain = [f"{kind}_{rest}" for kind, rest in _PLAIN if kind.startswith("vit")]
  fitting = [name for name in plain if ARCHITECTURES[name] == own]
  sized = [name for name in fitting if name.endswith(f"_{backbone.image_size}")]
  return next(iter((*sized, *fitting, _ANY)))


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  rules, constants = _positions(backbone)
  if backbone.use_cls:
    rules += (Rule("encoder/cls_token", "cls_token", TOKEN),)
  if backbone.num_registers:
    rules += (Rule("encoder/register_tokens", "reg_token", ROWS),)
  patch = "patch_embed.proj"
  rules += (
    Rule("encoder/patch_embed/kernel", f"{patch}.weight", patch_layout(backbone.num_channels)),
    Rule("encoder/patch_embed/bias", f"{patch}.bias", SAME),
    *_block_rules(scaled=backbone.layer_scale is not None),
  )
  if backbone.final_norm:
    rules += norm_rules("encoder/norm", "norm")
  if backbone.pool_norm:
    rules += norm_rules("encoder/pool_norm", "fc_norm")
  if "head" in recipes:
    rules += linear_rules("head/classifier", "head")
  return Table(rules, constants=constants)


def _positions(backbone: ConfigDict) -> tuple[tuple[Rule, ...], dict[str, np.ndarray]]:
  if backbone.position == "sincos":
    return (), {"pos_embed": sincos_table(backbone.embed_dim, grid_of(backbone))[None]}
  if backbone.cls_position:
    ours = ("encoder/cls_position", "encoder/position_table")
    return (Rule(ours, "pos_embed", ROWS, axis=1, cut=1),), {}
  return (Rule("encoder/position_table", "pos_embed", ROWS),), {}


def _block_rules(*, scaled: bool) -> tuple[Rule, ...]:
  ours, theirs = "encoder/blocks", "blocks.{layer}"
  fused = tuple(f"{ours}/attention/{part}" for part in ("query", "key", "value"))
  kernels, biases = (tuple(f"{p}/{name}" for p in fused) for name in ("kernel", "bias"))
  rules = (
    Rule(kernels, f"{theirs}.attn.qkv.weight", LINEAR),
    Rule(biases, f"{theirs}.attn.qkv.bias", SAME),
    *linear_rules(f"{ours}/attention/out", f"{theirs}.attn.proj"),
    *linear_rules(f"{ours}/mlp/up", f"{theirs}.mlp.fc1"),
    *linear_rules(f"{ours}/mlp/down", f"{theirs}.mlp.fc2"),
  )
  for number in (1, 2):
    rules += norm_rules(f"{ours}/norm{number}", f"{theirs}.norm{number}")
    if scaled:
      rules += (Rule(f"{ours}/scale{number}/scale", f"{theirs}.ls{number}.gamma", SAME),)
  return rules

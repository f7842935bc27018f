"""Our ViT <-> Hugging Face's ViTModel and ViTForImageClassification, and what ViTMAE shares.

The names are those of transformers 4 and of published checkpoints; version 5 reads them too.
"""

import re
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.classes import is_linear, read_classifier, write_classes
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import (
  ROWS,
  SAME,
  TOKEN,
  Layout,
  Rule,
  linear_rules,
  norm_rules,
  patch_layout,
)
from pretrainjax.models.heads import Pooler
from pretrainjax.models.layers.patch import grid_size
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.models.vit import ViT

MODEL_TYPE = "vit"
CLASSES = {
  "ViTForImageClassification": Holds(("backbone", "head")),
  "ViTModel": Holds(("backbone",), optional=("pooler",)),
}
POSITIONS = "embeddings.position_embeddings"
_CLS = "embeddings.cls_token"
# What transformers 5 calls the layers of attention in memory: pattern -> the name of version 4.
ATTENTION_ALIASES = (
  (r"\.attention\.q_proj\.", ".attention.attention.query."),
  (r"\.attention\.k_proj\.", ".attention.attention.key."),
  (r"\.attention\.v_proj\.", ".attention.attention.value."),
  (r"\.attention\.o_proj\.", ".attention.output.dense."),
)
# What transformers 5 calls some tensors in memory, and (by its own slip, for the decoder of
# ViTMAE) on disk: pattern -> the name of version 4.
_ALIASES = (
  (r"^(vit\.|)layers\.(\d+)\.", r"\1encoder.layer.\2."),
  (r"^decoder\.decoder_encoder\.layer\.(\d+)\.", r"decoder.decoder_layers.\1."),
  *ATTENTION_ALIASES,
  (r"\.mlp\.fc1\.", ".intermediate.dense."),
  (r"\.mlp\.fc2\.", ".output.dense."),
)


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  sizes = read_encoder(fields) | {"position": "learned", "cls_position": True}
  backbone = recipe(ViT, **sizes)
  if kind == "ViTModel":
    fields.must_be("pooler_act", "tanh")
    fields.must_be("pooler_output_size", backbone.embed_dim)
    return {"backbone": backbone, "pooler": recipe(Pooler, embed_dim=backbone.embed_dim)}
  return {"backbone": backbone, "head": read_classifier(fields, backbone.embed_dim)}


def read_encoder(fields: Fields) -> dict[str, Any]:
  """The arguments of `ViT` out of a config.json of ViT or ViTMAE, but for its positions."""
  fields.must_be("qkv_bias", True)
  fields.no_rate("attention_probs_dropout_prob")
  size = fields.get("image_size", 224)
  is_pair = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
  return {
    "image_size": tuple(size) if is_pair else fields.integer("image_size", 224),
    "patch_size": fields.integer("patch_size", 16),
    "num_channels": fields.integer("num_channels", 3),
    "embed_dim": fields.integer("hidden_size", 768),
    "num_layers": fields.integer("num_hidden_layers", 12),
    "num_heads": fields.integer("num_attention_heads", 12),
    "mlp_dim": fields.integer("intermediate_size", 3072),
    "activation": fields.activation("hidden_act", "gelu"),
    "eps": fields.number("layer_norm_eps", 1e-12),
    "dropout": fields.rate("hidden_dropout_prob", 0.0),
  }


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, head = recipes["backbone"], recipes.get("head")
  if not is_encoder(backbone):
    return False
  if kind == "ViTModel":
    return True
  return is_linear(head) and backbone.pool == "cls" and not backbone.pool_norm


def is_encoder(
  backbone: ConfigDict, *, registers: bool = False, scaled: bool = False, gated: bool = False
) -> bool:
  """Whether a recipe makes a `ViT` that their classes can express, whatever its pooling.

  Args:
    backbone: the recipe of the encoder.
    registers: whether it has registers.
    scaled: whether its branches have learned scales.
    gated: whether its perceptrons may be gated.
  """
  return (
    makes(backbone, ViT)
    and has_plain_patches(backbone)
    and (gated or not backbone.gated)
    and (backbone.use_cls, backbone.final_norm, backbone.pool_norm) == (True, True, False)
    and (backbone.num_registers > 0, backbone.layer_scale is not None) == (registers, scaled)
    and backbone.pool in ("cls", "mean")
  )


def has_plain_patches(backbone: ConfigDict) -> bool:
  """Whether a `ViT` embeds patches as most do: with a bias, all pixels, no norm behind."""
  return (backbone.patch_bias, backbone.cut_edges, backbone.embedding_norm) == (True, False, False)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  fields = write_encoder(recipes["backbone"])
  if kind == "ViTForImageClassification":
    fields |= write_classes(recipes["head"].num_classes)
  return fields


def write_encoder(backbone: ConfigDict) -> dict[str, Any]:
  """What config.json says of a `ViT`."""
  size = backbone.image_size
  return {
    "image_size": size if isinstance(size, int) or size[0] != size[1] else size[0],
    "patch_size": backbone.patch_size,
    "num_channels": backbone.num_channels,
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "hidden_act": their_activation(backbone.activation),
    "layer_norm_eps": backbone.eps,
    "hidden_dropout_prob": backbone.dropout,
    "attention_probs_dropout_prob": 0.0,
    "qkv_bias": True,
    "pooler_act": "tanh",
    "pooler_output_size": backbone.embed_dim,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  rules, constants = positions(backbone, f"vit.{POSITIONS}")
  rules += encoder_rules(backbone.num_channels)
  if "pooler" in recipes:
    rules += linear_rules("pooler/dense", "vit.pooler.dense")
  if kind == "ViTForImageClassification":
    rules += linear_rules("head/classifier", "classifier")
  return Table(
    rules,
    plain=lambda name: with_prefix(version_4_name(name), "vit.", ("classifier.", "decoder.")),
    written=lambda name: name.removeprefix("vit.") if kind == "ViTModel" else name,
    constants=constants,
    others=(r"^vit\.pooler\.",),
  )


def positions(backbone: ConfigDict, theirs: str) -> tuple[tuple[Rule, ...], dict[str, np.ndarray]]:
  """The rules, or the constant, that their table of positions is to us.

  Args:
    backbone: the recipe of a `ViT` with a class token.
    theirs: the name of their table, whose first row is the class token's.
  """
  if backbone.position == "sincos":
    return (), {theirs: with_cls_row(sincos_table(backbone.embed_dim, grid_of(backbone)))}
  if backbone.cls_position:
    ours = ("encoder/cls_position", "encoder/position_table")
    return (Rule(ours, theirs, ROWS, axis=1, cut=1),), {}
  rows = Layout(with_cls_row, lambda table: table[0, 1:])
  return (Rule("encoder/position_table", theirs, rows),), {}


def grid_of(backbone: ConfigDict) -> tuple[int, int]:
  """The rows and columns of patches of a recipe of `ViT`."""
  return grid_size(backbone.image_size, backbone.patch_size)


def encoder_rules(num_channels: int) -> tuple[Rule, ...]:
  """The table of an encoder, but for its positions.

  Args:
    num_channels: channels C of the images.
  """
  patch = "vit.embeddings.patch_embeddings.projection"
  return (
    Rule("encoder/cls_token", "vit.embeddings.cls_token", TOKEN),
    Rule("encoder/patch_embed/kernel", f"{patch}.weight", patch_layout(num_channels)),
    Rule("encoder/patch_embed/bias", f"{patch}.bias", SAME),
    *block_rules("encoder/blocks", "vit.encoder.layer"),
    *norm_rules("encoder/norm", "vit.layernorm"),
  )


def block_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
  """The table of a stack of blocks."""
  theirs = f"{theirs}.{{layer}}"
  linears = {
    "attention/query": "attention.attention.query",
    "attention/key": "attention.attention.key",
    "attention/value": "attention.attention.value",
    "attention/out": "attention.output.dense",
    "mlp/up": "intermediate.dense",
    "mlp/down": "output.dense",
  }
  rules = norm_rules(f"{ours}/norm1", f"{theirs}.layernorm_before")
  rules += norm_rules(f"{ours}/norm2", f"{theirs}.layernorm_after")
  for our_name, their_name in linears.items():
    rules += linear_rules(f"{ours}/{our_name}", f"{theirs}.{their_name}")
  return rules


def version_4_name(name: str, aliases: tuple[tuple[str, str], ...] = _ALIASES) -> str:
  """The name in version 4 of a tensor that transformers 5 may call otherwise.

  Args:
    name: its name in either.
    aliases: patterns of names of version 5, and what replaces them.
  """
  for pattern, replacement in aliases:
    name = re.sub(pattern, replacement, name)
  return name


def with_cls_row(table: np.ndarray) -> np.ndarray:
  """Our table "N D" as theirs "1 1+N D": the class token's row is 0."""
  return np.concatenate([np.zeros_like(table[:1]), table])[None]

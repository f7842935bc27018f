"""Our ViT <-> Hugging Face's ViTModel, and the pieces that ViTMAE shares with it.

The names are those of transformers 4 and of published checkpoints; version 5 reads them too.
Ours computes layer norms with eps 1e-6, so write `layer_norm_eps: 1e-6` into config.json.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pretrainjax.convert.table import (
  SAME,
  TOKEN,
  Rule,
  Tensors,
  linear_rules,
  norm_rules,
  patch_layout,
  taken,
  to_ours,
  to_theirs,
)
from pretrainjax.errors import UserError
from pretrainjax.models.layers.position import sincos_table

POSITIONS = "embeddings.position_embeddings"
_CLS = "embeddings.cls_token"
# What transformers 5 calls some tensors in memory, and (by its own slip, for the decoder of
# ViTMAE) on disk: pattern -> the name of version 4.
_ALIASES = (
  (r"^(vit\.|)layers\.(\d+)\.", r"\1encoder.layer.\2."),
  (r"^decoder\.decoder_encoder\.layer\.(\d+)\.", r"decoder.decoder_layers.\1."),
  (r"\.attention\.q_proj\.", ".attention.attention.query."),
  (r"\.attention\.k_proj\.", ".attention.attention.key."),
  (r"\.attention\.v_proj\.", ".attention.attention.value."),
  (r"\.attention\.o_proj\.", ".attention.output.dense."),
  (r"\.mlp\.fc1\.", ".intermediate.dense."),
  (r"\.mlp\.fc2\.", ".output.dense."),
)


def to_hf(params: Mapping[str, Any], *, grid: tuple[int, int], num_channels: int = 3) -> Tensors:
  """A ViT's parameters as those of ViTModel(add_pooling_layer=False).

  Args:
    params: pure nested dict of a `ViT` with a class token.
    grid: rows and columns of patches.
    num_channels: channels C of the images.

  Returns:
    Tensors by name. The class token's row of the positions is 0, as ours has none.

  Raises:
    UserError: for parameters that ViTModel has no place for (registers, layer scale, pool norm).
  """
  params = dict(params)
  table = params.pop("position_table", None)
  if table is None:
    table = sincos_table(params["patch_embed"]["bias"].shape[0], grid)
  tensors = to_theirs(encoder_rules("", "", num_channels), params)
  return tensors | {POSITIONS: with_cls_row(np.asarray(table))}


def from_hf(tensors: Mapping[str, np.ndarray], *, ignore: tuple[str, ...] = ("pooler.",)):
  """The inverse of `to_hf`, for a ViT with position="learned".

  Args:
    tensors: the tensors of a ViTModel; the prefix "vit." of models that contain one is taken off.
    ignore: prefixes of tensors to leave out on purpose.

  Returns:
    A pure nested dict; the class token holds the row that ViTModel would add to it.

  Raises:
    UserError: for tensors that are missing or unknown.
  """
  named = {name.removeprefix("vit."): tensor for name, tensor in version_4(tensors).items()}
  named = {n: t for n, t in named.items() if not n.startswith(ignore)}
  table, token = taken(named, POSITIONS, rank=3), taken(named, _CLS, rank=3)
  if token.shape[-1] != table.shape[-1]:
    widths = f"{token.shape[-1]}, {table.shape[-1]}"
    raise UserError(f"conversion: {_CLS} and {POSITIONS} have different widths ({widths})")
  del named[POSITIONS]
  named[_CLS] = token + table[:, :1]
  num_channels = taken(named, "embeddings.patch_embeddings.projection.weight", rank=4).shape[1]
  params = to_ours(encoder_rules("", "", num_channels), named)
  return params | {"position_table": table[0, 1:]}


def encoder_rules(ours: str, theirs: str, num_channels: int) -> tuple[Rule, ...]:
  """The table of an encoder, but for its positions.

  Args:
    ours: prefix of our paths, "" or "encoder/".
    theirs: prefix of their names, "" or "vit.".
    num_channels: channels C of the images.
  """
  patch = f"{theirs}embeddings.patch_embeddings.projection"
  return (
    Rule(f"{ours}cls_token", f"{theirs}{_CLS}", TOKEN),
    Rule(f"{ours}patch_embed/kernel", f"{patch}.weight", patch_layout(num_channels)),
    Rule(f"{ours}patch_embed/bias", f"{patch}.bias", SAME),
    *block_rules(f"{ours}blocks", f"{theirs}encoder.layer"),
    *norm_rules(f"{ours}norm", f"{theirs}layernorm"),
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


def version_4(tensors: Mapping[str, np.ndarray]) -> Tensors:
  """Renames tensors that transformers 5 calls otherwise to the names of version 4."""
  renamed = {}
  for name, tensor in tensors.items():
    for pattern, replacement in _ALIASES:
      name = re.sub(pattern, replacement, name)
    renamed[name] = tensor
  return renamed


def with_cls_row(table: np.ndarray) -> np.ndarray:
  """Our table "N D" as theirs "1 1+N D": the class token's row is 0."""
  return np.concatenate([np.zeros_like(table[:1]), table])[None]


def square_grid(table: np.ndarray) -> tuple[int, int]:
  """The rows and columns of the grid of their table "1 1+N D"."""
  side = math.isqrt(table.shape[1] - 1)
  if side * side != table.shape[1] - 1:
    raise UserError(f"conversion: {table.shape[1] - 1} positions are no square grid")
  return side, side

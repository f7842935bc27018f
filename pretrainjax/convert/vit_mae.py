"""Our MAE (a ViT and a MAEDecoder) <-> Hugging Face's ViTMAEForPreTraining."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pretrainjax.convert.table import (
  TOKEN,
  Rule,
  Tensors,
  linear_rules,
  norm_rules,
  taken,
  to_ours,
  to_theirs,
)
from pretrainjax.convert.vit import (
  POSITIONS,
  block_rules,
  encoder_rules,
  square_grid,
  version_4,
  with_cls_row,
)
from pretrainjax.errors import UserError
from pretrainjax.models.layers.position import sincos_table

# Both tables of positions are fixed in MAE, so that they are no parameters of ours.
_FIXED = (f"vit.{POSITIONS}", "decoder.decoder_pos_embed")


def rules(num_channels: int) -> tuple[Rule, ...]:
  """The table of an MAE's parameters, but for the fixed positions."""
  return (
    *encoder_rules("encoder/", "vit.", num_channels),
    *linear_rules("decoder/embed", "decoder.decoder_embed"),
    Rule("decoder/mask_token", "decoder.mask_token", TOKEN),
    *block_rules("decoder/blocks", "decoder.decoder_layers"),
    *norm_rules("decoder/norm", "decoder.decoder_norm"),
    *linear_rules("decoder/predict", "decoder.decoder_pred"),
  )


def to_hf(params: Mapping[str, Any], *, grid: tuple[int, int], num_channels: int = 3) -> Tensors:
  """An MAE's parameters as the tensors of ViTMAEForPreTraining.

  Args:
    params: pure nested dict of a module with `encoder` (a `ViT` with a class token and
      position="sincos") and `decoder` (a `MAEDecoder`).
    grid: rows and columns of patches, equally many: the class takes square images only.
    num_channels: channels C of the images.

  Returns:
    Tensors by the names of transformers 4, which version 5 reads too.

  Raises:
    UserError: for an oblong grid, or parameters that the class has no place for.
  """
  if grid[0] != grid[1]:
    raise UserError(f"conversion: grid {grid[0]} x {grid[1]}: ViTMAE takes square images only")
  widths = [params[part]["norm"]["bias"].shape[0] for part in ("encoder", "decoder")]
  tensors = to_theirs(rules(num_channels), params)
  tables = [with_cls_row(sincos_table(width, grid)) for width in widths]
  return tensors | dict(zip(_FIXED, tables, strict=True))


def from_hf(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """The inverse of `to_hf`.

  Args:
    tensors: the tensors of a ViTMAEForPreTraining, by the names of transformers 4 or 5.

  Returns:
    A pure nested dict {"encoder": ..., "decoder": ...}.

  Raises:
    UserError: for tensors that are missing or unknown, or positions that are not the fixed ones.
  """
  named = version_4(tensors)
  for name in _FIXED:
    table = taken(named, name, rank=3)
    del named[name]
    if table.shape[0] != 1 or table.shape[-1] % 4:  # sines and cosines of rows and columns
      raise UserError(f"conversion: {name} has shape {list(table.shape)}, expected [1, 1+N, 4n]")
    fixed = with_cls_row(sincos_table(table.shape[-1], square_grid(table)))
    if not np.allclose(table, fixed, atol=1e-5):
      raise UserError(f"conversion: {name} is not the fixed sine-cosine table")
  patches = "vit.embeddings.patch_embeddings.projection.weight"
  num_channels = taken(named, patches, rank=4).shape[1]
  return to_ours(rules(num_channels), named)

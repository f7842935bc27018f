"""Our MAE (a ViT and a MAEDecoder) <-> Hugging Face's ViTMAEForPreTraining."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import TOKEN, Rule, linear_rules, norm_rules
from pretrainjax.convert.vit import (
  POSITIONS,
  block_rules,
  encoder_rules,
  grid_of,
  is_encoder,
  read_encoder,
  version_4_name,
  with_cls_row,
  write_encoder,
)
from pretrainjax.errors import UserError
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.models.vit import ViT

MODEL_TYPE = "vit_mae"
CLASSES = {"ViTMAEForPreTraining": Holds(("backbone", "decoder"))}
# Both tables of positions are fixed in MAE, so that they are no parameters of ours.
_FIXED = (f"vit.{POSITIONS}", "decoder.decoder_pos_embed")


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  sizes = read_encoder(fields)
  backbone = recipe(ViT, **sizes, position="sincos")
  decoder = recipe(
    MAEDecoder,
    grid=_square(backbone),
    patch_dim=backbone.patch_size**2 * backbone.num_channels,
    encoder_dim=backbone.embed_dim,
    embed_dim=fields.integer("decoder_hidden_size", 512),
    num_layers=fields.integer("decoder_num_hidden_layers", 8),
    num_heads=fields.integer("decoder_num_attention_heads", 16),
    mlp_dim=fields.integer("decoder_intermediate_size", 2048),
    activation=backbone.activation,
    eps=backbone.eps,
  )
  return {"backbone": backbone, "decoder": decoder}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, decoder = recipes["backbone"], recipes.get("decoder")
  if not is_encoder(backbone) or not makes(decoder, MAEDecoder):
    return False
  alike = all(backbone[name] == decoder[name] for name in ("activation", "eps"))
  rows, columns = grid_of(backbone)
  windows = decoder.get("window") is not None
  return alike and not windows and backbone.position == "sincos" and rows == columns


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  decoder, width = recipes["decoder"], recipes["decoder"].embed_dim
  return write_encoder(recipes["backbone"]) | {
    "mask_ratio": recipes.get("mask_ratio", 0.75),
    "norm_pix_loss": recipes.get("norm_pix_loss", False),
    "decoder_hidden_size": width,
    "decoder_num_hidden_layers": decoder.num_layers,
    "decoder_num_attention_heads": decoder.num_heads,
    "decoder_intermediate_size": decoder.mlp_dim or 4 * width,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  backbone, decoder = recipes["backbone"], recipes["decoder"]
  grid = grid_of(backbone)
  fixed = (sincos_table(one.embed_dim, grid) for one in (backbone, decoder))
  return Table(
    _rules(backbone.num_channels),
    plain=version_4_name,
    constants=dict(zip(_FIXED, map(with_cls_row, fixed), strict=True)),
  )


def _square(backbone: ConfigDict) -> tuple[int, int]:
  try:
    grid = grid_of(backbone)
  except ValueError as error:
    raise UserError(f"config.json: {error}") from error
  if grid[0] != grid[1]:
    raise UserError(f"conversion: grid {grid[0]} x {grid[1]}: ViTMAE takes square images only")
  return grid


def _rules(num_channels: int) -> tuple[Rule, ...]:
  return (
    *encoder_rules(num_channels),
    *linear_rules("decoder/embed", "decoder.decoder_embed"),
    Rule("decoder/mask_token", "decoder.mask_token", TOKEN),
    *block_rules("decoder/blocks", "decoder.decoder_layers"),
    *norm_rules("decoder/norm", "decoder.decoder_norm"),
    *linear_rules("decoder/predict", "decoder.decoder_pred"),
  )

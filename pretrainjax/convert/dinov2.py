"""Our ViT with layer scale <-> Hugging Face's Dinov2Model, and what that with registers shares.

Their mask token belongs to an objective that we lack: an export of the same folder has it again,
any other has zeros, from which it starts there. Of their classifiers the encoder is read: the head
scores the class token beside the mean of patches, twice as many numbers as our features have.
"""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens
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
from pretrainjax.convert.vit import (
  ATTENTION_ALIASES,
  POSITIONS,
  grid_of,
  is_encoder,
  positions,
  version_4_name,
)
from pretrainjax.convert.vit import read_encoder as read_vit
from pretrainjax.convert.vit import write_encoder as write_vit
from pretrainjax.models.vit import ViT

MODEL_TYPE = "dinov2"
_CLASSIFIER = "Dinov2ForImageClassification"
CLASSES = {"Dinov2Model": Holds(("backbone",)), _CLASSIFIER: Holds(("backbone",))}
_MASK = "embeddings.mask_token"
# Within a classifier the encoder's names have a prefix.
_ALIASES = ((r"^dinov2(_with_registers)?\.", ""), *ATTENTION_ALIASES)
# Of gated perceptrons: what mlp_ratio can be.
_RATIOS = range(1, 65)


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  return {"backbone": recipe(ViT, **read_encoder(fields, patch_size=14))}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  return kind != _CLASSIFIER and fits_encoder(recipes["backbone"], registers=False)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  return write_encoder(recipes["backbone"]) | {"use_mask_token": True}


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  rules, constants = positions(backbone, POSITIONS)
  rules += _encoder_rules(backbone)
  if backbone.num_registers:
    rules += (Rule("encoder/register_tokens", "embeddings.register_tokens", ROWS),)
  return Table(
    rules,
    plain=lambda name: version_4_name(name, _ALIASES),
    others=(r"^classifier\.",),
    constants=constants,
    fillers={_MASK: np.zeros((1, backbone.embed_dim), np.float32)},
  )


def read_encoder(fields: Fields, *, patch_size: int) -> dict[str, Any]:
  """The arguments of `ViT` out of a config.json of DINOv2, but for its registers.

  Args:
    fields: the values of the config.json.
    patch_size: the size of patches where nothing is said.
  """
  fields.must_be("drop_path_rate", 0.0, 0)
  sizes = read_vit(fields)
  side = sizes["image_size"]
  if isinstance(side, tuple) and side[0] != side[1]:
    raise fields.refused("image_size", "one side, as their table of positions is square")
  return sizes | {
    "image_size": side[0] if isinstance(side, tuple) else side,
    "patch_size": fields.integer("patch_size", patch_size),
    **_perceptron(fields, sizes),
    "eps": fields.number("layer_norm_eps", 1e-6),
    "layer_scale": fields.number("layerscale_value", 1.0),
    "position": "learned",
    "cls_position": True,
  }


def _perceptron(fields: Fields, sizes: dict[str, Any]) -> dict[str, Any]:
  ratio = fields.integer("mlp_ratio", 4)
  if not fields.flag("use_swiglu_ffn", False):
    return {"mlp_dim": sizes["embed_dim"] * ratio}
  return {"mlp_dim": _gated_dim(sizes["embed_dim"], ratio), "gated": True, "activation": "silu"}


def _gated_dim(width: int, ratio: int) -> int:
  """Two thirds of what others have, as three layers stand for two; rounded up to eights."""
  return (int(width * ratio * 2 / 3) + 7) // 8 * 8


def _ratio(backbone: ConfigDict) -> int | None:
  """What config.json says of the width of perceptrons; None where it cannot."""
  if backbone.gated:
    width = backbone.embed_dim
    return next((r for r in _RATIOS if _gated_dim(width, r) == backbone.mlp_dim), None)
  ratio, rest = divmod(backbone.mlp_dim, backbone.embed_dim)
  return None if rest else ratio


def fits_encoder(backbone: ConfigDict, *, registers: bool) -> bool:
  """Whether a recipe makes a `ViT` that their classes can express.

  Args:
    backbone: the recipe of the encoder.
    registers: whether the class has registers.
  """
  if not is_encoder(backbone, registers=registers, scaled=True, gated=True):
    return False
  rows, columns = grid_of(backbone)
  is_known = not backbone.gated or backbone.activation == "silu"
  return rows == columns and is_known and _ratio(backbone) is not None


def write_encoder(backbone: ConfigDict) -> dict[str, Any]:
  """What config.json says of a `ViT`, but for its registers."""
  fields = write_vit(backbone)
  for name in ("intermediate_size", "pooler_act", "pooler_output_size"):
    del fields[name]
  return fields | {
    "mlp_ratio": _ratio(backbone),
    "layerscale_value": backbone.layer_scale,
    "use_swiglu_ffn": backbone.gated,
    "drop_path_rate": 0.0,
  }


def _encoder_rules(backbone: ConfigDict) -> tuple[Rule, ...]:
  layer, patch = "encoder.layer.{layer}", "embeddings.patch_embeddings.projection"
  linears = {
    "attention/query": "attention.attention.query",
    "attention/key": "attention.attention.key",
    "attention/value": "attention.attention.value",
    "attention/out": "attention.output.dense",
    "mlp/down": "mlp.weights_out" if backbone.gated else "mlp.fc2",
  }
  rules = (
    Rule("encoder/cls_token", "embeddings.cls_token", TOKEN),
    Rule("encoder/patch_embed/kernel", f"{patch}.weight", patch_layout(backbone.num_channels)),
    Rule("encoder/patch_embed/bias", f"{patch}.bias", SAME),
    *norm_rules("encoder/norm", "layernorm"),
  )
  if backbone.gated:
    fused = ("encoder/blocks/mlp/gate", "encoder/blocks/mlp/up")
    kernels, biases = (tuple(f"{part}/{name}" for part in fused) for name in ("kernel", "bias"))
    rules += (Rule(kernels, f"{layer}.mlp.weights_in.weight", LINEAR),)
    rules += (Rule(biases, f"{layer}.mlp.weights_in.bias", SAME),)
  else:
    linears["mlp/up"] = "mlp.fc1"
  for number in (1, 2):
    scale = f"{layer}.layer_scale{number}.lambda1"
    rules += norm_rules(f"encoder/blocks/norm{number}", f"{layer}.norm{number}")
    rules += (Rule(f"encoder/blocks/scale{number}/scale", scale, SAME),)
  for ours, theirs in linears.items():
    rules += linear_rules(f"encoder/blocks/{ours}", f"{layer}.{theirs}")
  return rules

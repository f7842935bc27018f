"""Our SpectrogramViT <-> Hugging Face's ASTModel and ASTForAudioClassification.

Their patches are ordered by band, ours by time: tables of positions are reordered.
"""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.classes import is_linear, read_classifier, write_classes
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import (
  SAME,
  TOKEN,
  Layout,
  Rule,
  linear_rules,
  norm_rules,
)
from pretrainjax.convert.vit import ATTENTION_ALIASES, block_rules, version_4_name
from pretrainjax.models.spectrogram_vit import SpectrogramViT

MODEL_TYPE = "audio-spectrogram-transformer"
CLASSES = {
  "ASTForAudioClassification": Holds(("backbone", "head")),
  "ASTModel": Holds(("backbone",)),
}
_PREFIX = "audio_spectrogram_transformer."
_ALIASES = (
  (r"^(audio_spectrogram_transformer\.|)layers\.(\d+)\.", r"\1encoder.layer.\2."),
  *ATTENTION_ALIASES,
  (r"\.mlp\.fc1\.", ".intermediate.dense."),
  (r"\.mlp\.fc2\.", ".output.dense."),
)
_MEAN, _STD = -4.2677393, 4.5689974  # of AudioSet
_FIXED = {"padded": True, "normalise": "fixed", "num_prefix": 2, "pool": "prefix"}
_FIXED |= {"position": "learned", "prefix_position": True, "use_mask": False}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  fields.must_be("qkv_bias", True)
  fields.no_rate("attention_probs_dropout_prob")
  has_head = kind == "ASTForAudioClassification"
  backbone = recipe(
    SpectrogramViT,
    num_mels=fields.integer("num_mel_bins", 128),
    length=fields.integer("max_length", 1024),
    patch_size=fields.integer("patch_size", 16),
    stride=(fields.integer("frequency_stride", 10), fields.integer("time_stride", 10)),
    mean=_MEAN,
    std=2 * _STD,
    embed_dim=fields.integer("hidden_size", 768),
    num_layers=fields.integer("num_hidden_layers", 12),
    num_heads=fields.integer("num_attention_heads", 12),
    mlp_dim=fields.integer("intermediate_size", 3072),
    activation=fields.activation("hidden_act", "gelu"),
    eps=fields.number("layer_norm_eps", 1e-12),
    dropout=fields.rate("hidden_dropout_prob", 0.0),
    pool_norm=has_head,
    **_FIXED,
  )
  if not has_head:
    return {"backbone": backbone}
  return {"backbone": backbone, "head": read_classifier(fields, backbone.embed_dim)}


def read_processor(fields: Fields, backbone: ConfigDict) -> dict[str, Any]:
  """What preprocessor_config.json says of the sound that is read: what scales the bands."""
  fields.must_be("sampling_rate", 16_000)
  fields.must_be("num_mel_bins", backbone.num_mels)
  fields.must_be("max_length", backbone.length)
  if not fields.flag("do_normalize", True):
    return {"mean": 0.0, "std": 1.0}
  mean, std = fields.number("mean", _MEAN, lowest=-1e6), fields.number("std", _STD)
  if std == 0:
    raise fields.refused("std", "a number above 0")
  return {"mean": mean, "std": 2 * std}


def write_processor(recipes: Recipes) -> dict[str, Any]:
  """The content of preprocessor_config.json, the inverse of `read_processor`."""
  backbone = recipes["backbone"]
  return {
    "feature_extractor_type": "ASTFeatureExtractor",
    "feature_size": 1,
    "sampling_rate": 16_000,
    "num_mel_bins": backbone.num_mels,
    "max_length": backbone.length,
    "padding_side": "right",
    "padding_value": 0.0,
    "do_normalize": True,
    "mean": backbone.mean,
    "std": backbone.std / 2,
    "return_attention_mask": False,
  }


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone = recipes["backbone"]
  if not makes(backbone, SpectrogramViT):
    return False
  if any(backbone[name] != value for name, value in _FIXED.items()):
    return False
  return kind == "ASTModel" or (is_linear(recipes.get("head")) and backbone.pool_norm)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  bands, frames = _stride(backbone)
  fields = {
    "num_mel_bins": backbone.num_mels,
    "max_length": backbone.length,
    "patch_size": backbone.patch_size,
    "frequency_stride": bands,
    "time_stride": frames,
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "hidden_act": their_activation(backbone.activation),
    "layer_norm_eps": backbone.eps,
    "hidden_dropout_prob": backbone.dropout,
    "attention_probs_dropout_prob": 0.0,
    "qkv_bias": True,
  }
  has_head = kind == "ASTForAudioClassification"
  return fields | (write_classes(recipes["head"].num_classes) if has_head else {})


def _stride(backbone: ConfigDict) -> tuple[int, int]:
  return backbone.stride or (backbone.patch_size, backbone.patch_size)


def grid_of(backbone: ConfigDict) -> tuple[int, int]:
  """Patches in time and in bands of a recipe of a padded `SpectrogramViT`."""
  bands, frames = _stride(backbone)
  size = backbone.patch_size
  return (backbone.length - size) // frames + 1, (backbone.num_mels - size) // bands + 1


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  embeddings, has_head = f"{_PREFIX}embeddings.", kind == "ASTForAudioClassification"
  patch = f"{embeddings}patch_embeddings.projection"
  places = ("encoder/prefix_position", "encoder/position_table")
  rules = (
    Rule("encoder/prefix_token0", f"{embeddings}cls_token", TOKEN),
    Rule("encoder/prefix_token1", f"{embeddings}distillation_token", TOKEN),
    Rule(places, f"{embeddings}position_embeddings", _positions(backbone), axis=1, cut=2),
    Rule("encoder/patch_embed/kernel", f"{patch}.weight", _patch(backbone.patch_size)),
    Rule("encoder/patch_embed/bias", f"{patch}.bias", SAME),
    *block_rules("encoder/blocks", f"{_PREFIX}encoder.layer"),
    *norm_rules("encoder/norm", f"{_PREFIX}layernorm"),
  )
  if has_head:
    rules += norm_rules("encoder/pool_norm", "classifier.layernorm")
    rules += linear_rules("head/classifier", "classifier.dense")
  left = ("encoder/pool_norm/scale", "encoder/pool_norm/bias")
  return Table(
    rules,
    plain=lambda name: with_prefix(version_4_name(name, _ALIASES), _PREFIX, ("classifier.",)),
    written=lambda name: name if has_head else name.removeprefix(_PREFIX),
    others=(r"^classifier\.",),
    left=left if backbone.pool_norm and not has_head else (),
  )


def _positions(backbone: ConfigDict) -> Layout:
  """Ours "N D" by time, then by band; theirs "1 N D" the other way. Two tokens before stay."""
  times, bands = grid_of(backbone)

  def ordered(rows: np.ndarray, first: int, second: int) -> np.ndarray:
    if len(rows) != first * second:
      return rows
    return rows.reshape(first, second, -1).swapaxes(0, 1).reshape(rows.shape)

  return Layout(
    lambda rows: ordered(rows, times, bands)[None],
    lambda rows: ordered(rows.reshape(rows.shape[-2:]), bands, times),
  )


def _patch(size: int) -> Layout:
  """Ours (P, D), P as (frame, band); theirs (D, 1, band, frame)."""
  return Layout(
    lambda kernel: kernel.reshape(size, size, 1, -1).transpose(3, 2, 1, 0),
    lambda kernel: kernel.transpose(3, 2, 1, 0).reshape(size * size, -1),
  )

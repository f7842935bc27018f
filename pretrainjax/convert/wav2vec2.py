"""Our Wav2Vec2 <-> Hugging Face's Wav2Vec2Model, ForCTC and ForPreTraining, and HuBERT's share."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import (
  CONV_TIME,
  ROWS,
  SAME,
  TOKEN,
  Rule,
  linear_rules,
  norm_rules,
)
from pretrainjax.models.heads import CTCHead
from pretrainjax.models.product_quantizer import ProductQuantizer
from pretrainjax.models.wav2vec2 import Wav2Vec2

MODEL_TYPE = "wav2vec2"
CLASSES = {
  "Wav2Vec2ForPreTraining": Holds(("backbone", "quantizer")),
  "Wav2Vec2ForCTC": Holds(("backbone", "head")),
  "Wav2Vec2Model": Holds(("backbone",)),
}
MASK = "masked_spec_embed"
_NORMS, _ORDERS = {"group": "group", "layer": "layer"}, {False: "post", True: "pre"}
_MOST_CONVOLUTIONS = 100
# What stands for the scale and the direction of the convolution over positions, newest first.
_POSITION = "pos_conv_embed.conv."
_SCALE, _DIRECTION = (f"{_POSITION}parametrizations.weight.original{i}" for i in (0, 1))
_OLD = {f"{_POSITION}weight_g": _SCALE, f"{_POSITION}weight_v": _DIRECTION}
_QUANTIZER = {
  "num_groups": "num_codevector_groups",
  "num_codes": "num_codevectors_per_group",
  "code_dim": "codevector_dim",
  "out_dim": "proj_codevector_dim",
}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  fields.must_be("add_adapter", False)
  fields.must_be("adapter_attn_dim", None)
  backbone = recipe(Wav2Vec2, **read_encoder(fields))
  if kind == "Wav2Vec2ForCTC":
    return {"backbone": backbone, "head": read_head(fields)}
  if kind == "Wav2Vec2Model":
    return {"backbone": backbone}
  defaults = {"num_groups": 2, "num_codes": 320, "code_dim": 256, "out_dim": 256}
  sizes = {ours: fields.integer(_QUANTIZER[ours], size) for ours, size in defaults.items()}
  sizes |= {"in_dim": backbone.conv_dims[-1], "embed_dim": backbone.embed_dim}
  rate = fields.rate("feat_quantizer_dropout", 0.0)
  return {"backbone": backbone, "quantizer": recipe(ProductQuantizer, **sizes, dropout=rate)}


def read_encoder(fields: Fields) -> dict[str, Any]:
  """The arguments of `Wav2Vec2` out of a config.json of either family."""
  dims = fields.integers("conv_dim", (512,) * 7)
  sizes = fields.integers("conv_kernel", (10, 3, 3, 3, 3, 2, 2))
  strides = fields.integers("conv_stride", (5, 2, 2, 2, 2, 2, 2))
  if not len(dims) == len(sizes) == len(strides) <= _MOST_CONVOLUTIONS:
    expected = f"as many as conv_kernel and conv_stride, at most {_MOST_CONVOLUTIONS}"
    raise fields.refused("conv_dim", expected)
  fields.no_rate("layerdrop")
  hides = max(fields.rate("mask_time_prob", 0.05), fields.rate("mask_feature_prob", 0.0)) > 0
  # Fine-tuned models say that they have the vector, and many were stored without.
  stored = not fields.tensors or any(name.endswith(MASK) for name in fields.tensors)
  return {
    "embed_dim": fields.integer("hidden_size", 768),
    "num_layers": fields.integer("num_hidden_layers", 12),
    "num_heads": fields.integer("num_attention_heads", 12),
    "mlp_dim": fields.integer("intermediate_size", 3072),
    "conv_dims": dims,
    "conv_sizes": sizes,
    "conv_strides": strides,
    "conv_bias": fields.flag("conv_bias", False),
    "conv_norm": fields.choice("feat_extract_norm", _NORMS, "group"),
    "position_size": fields.integer("num_conv_pos_embeddings", 128),
    "position_groups": fields.integer("num_conv_pos_embedding_groups", 16),
    "order": _ORDERS[fields.flag("do_stable_layer_norm", False)],
    "activation": fields.activation("hidden_act", "gelu"),
    "conv_activation": fields.activation("feat_extract_activation", "gelu"),
    "use_mask": hides and stored,
    "eps": fields.number("layer_norm_eps", 1e-5),
    "dropout": fields.rate("hidden_dropout", 0.1),
    "inner_dropout": fields.rate("activation_dropout", 0.1),
    "attention_dropout": fields.rate("attention_dropout", 0.1),
    "feature_dropout": fields.rate("feat_proj_dropout", 0.0),
    "init_std": fields.number("initializer_range", 0.02),
  }


def read_head(fields: Fields) -> ConfigDict:
  """The recipe of the scores of labels; the token of padding is the blank."""
  size, blank = fields.integer("vocab_size", 32), fields.integer("pad_token_id", 0, lowest=0)
  if blank >= size:
    raise fields.refused("pad_token_id", f"a token below vocab_size, {size}")
  width = fields.integer("hidden_size", 768)
  rate = fields.rate("final_dropout", 0.1)
  return recipe(CTCHead, in_dim=width, vocab_size=size, blank=blank, dropout=rate)


def read_processor(fields: Fields, backbone: ConfigDict) -> dict[str, Any]:
  """What preprocessor_config.json says of the sound that is read, as arguments of `Wav2Vec2`."""
  del backbone
  fields.must_be("feature_size", 1)
  fields.must_be("padding_value", 0.0, 0)
  fields.must_be("padding_side", "right")
  rate = fields.integer("sampling_rate", 16_000)
  return {"normalise": fields.flag("do_normalize", True), "sample_rate": rate}


def write_processor(recipes: Recipes) -> dict[str, Any]:
  """The content of preprocessor_config.json, the inverse of `read_processor`."""
  backbone = recipes["backbone"]
  return {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": backbone.sample_rate,
    "padding_value": 0.0,
    "padding_side": "right",
    "do_normalize": backbone.normalise,
    # Those with a norm over time were trained without, which is how transformers is told.
    "return_attention_mask": backbone.conv_norm == "layer",
  }


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone = recipes["backbone"]
  if not makes(backbone, Wav2Vec2) or not backbone.feature_norm:
    return False
  is_held = {
    "Wav2Vec2ForPreTraining": makes(recipes.get("quantizer"), ProductQuantizer),
    "Wav2Vec2ForCTC": makes(recipes.get("head"), CTCHead),
    "Wav2Vec2Model": True,
  }
  return is_held[kind] and backbone.position_norm == "weight"


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  fields = write_encoder(recipes["backbone"])
  if kind == "Wav2Vec2ForCTC":
    fields |= write_head(recipes["head"])
  if kind == "Wav2Vec2ForPreTraining":
    quantizer = recipes["quantizer"]
    fields |= {theirs: quantizer[ours] for ours, theirs in _QUANTIZER.items()}
    fields |= {"feat_quantizer_dropout": quantizer.dropout}
  return fields


def write_encoder(backbone: ConfigDict) -> dict[str, Any]:
  """What config.json says of a `Wav2Vec2` in either family."""
  return {
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "num_feat_extract_layers": len(backbone.conv_dims),
    "conv_dim": list(backbone.conv_dims),
    "conv_kernel": list(backbone.conv_sizes),
    "conv_stride": list(backbone.conv_strides),
    "conv_bias": backbone.conv_bias,
    "feat_extract_norm": backbone.conv_norm,
    "feat_extract_activation": their_activation(backbone.conv_activation),
    "num_conv_pos_embeddings": backbone.position_size,
    "num_conv_pos_embedding_groups": backbone.position_groups,
    "do_stable_layer_norm": backbone.order == "pre",
    "hidden_act": their_activation(backbone.activation),
    "layer_norm_eps": backbone.eps,
    "hidden_dropout": backbone.dropout,
    "activation_dropout": backbone.inner_dropout,
    "attention_dropout": backbone.attention_dropout,
    "feat_proj_dropout": backbone.feature_dropout,
    "layerdrop": 0.0,
    "initializer_range": backbone.init_std,
    # Their vector of hidden frames is there where something may be hidden.
    "mask_time_prob": 0.05 if backbone.use_mask else 0.0,
    "mask_feature_prob": 0.0,
  }


def write_head(head: ConfigDict) -> dict[str, Any]:
  """What config.json says of the scores of labels."""
  return {
    "vocab_size": head.vocab_size,
    "pad_token_id": head.blank,
    "final_dropout": head.dropout,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = encoder_rules(recipes["backbone"], "wav2vec2.")
  if kind == "Wav2Vec2ForCTC":
    rules += linear_rules("head/classifier", "lm_head")
  if kind == "Wav2Vec2ForPreTraining":
    rules += (Rule("quantizer/codebooks", "quantizer.codevectors", ROWS),)
    rules += linear_rules("quantizer/scores", "quantizer.weight_proj")
    rules += linear_rules("quantizer/project_code", "project_q")
    rules += linear_rules("quantizer/project_token", "project_hid")
  heads = ("lm_head.", "quantizer.", "project_")
  return Table(
    rules,
    plain=lambda name: plain_name(name, "wav2vec2.", heads),
    written=lambda name: name.removeprefix("wav2vec2.") if kind == "Wav2Vec2Model" else name,
    others=(r"^(lm_head|quantizer|project_hid|project_q)\.",),
  )


def plain_name(name: str, prefix: str, heads: tuple[str, ...]) -> str:
  """The one name of a tensor, of those that versions gave it.

  Args:
    name: the name that it is stored under.
    prefix: what begins the names of the bare model's tensors.
    heads: what begins those of the others.
  """
  for old, new in _OLD.items():
    name = name.replace(old, new)
  return with_prefix(name, prefix, heads)


def encoder_rules(backbone: Mapping[str, Any] | ConfigDict, theirs: str) -> tuple[Rule, ...]:
  """The table of an encoder.

  Args:
    backbone: the recipe of the encoder.
    theirs: the prefix of their names.
  """
  rules: tuple[Rule, ...] = ()
  for i in range(len(backbone["conv_dims"])):
    conv = f"{theirs}feature_extractor.conv_layers.{i}"
    rules += (Rule(f"encoder/waveform/conv{i}/kernel", f"{conv}.conv.weight", CONV_TIME),)
    if backbone["conv_bias"]:
      rules += (Rule(f"encoder/waveform/conv{i}/bias", f"{conv}.conv.bias", SAME),)
    if i == 0 or backbone["conv_norm"] == "layer":
      rules += norm_rules(f"encoder/waveform/norm{i}", f"{conv}.layer_norm")
  if backbone["feature_norm"]:
    rules += norm_rules("encoder/feature_norm", f"{theirs}feature_projection.layer_norm")
  if backbone["use_mask"]:
    rules += (Rule("encoder/mask_vector", f"{theirs}{MASK}", SAME),)
  return (
    *rules,
    *linear_rules("encoder/projection", f"{theirs}feature_projection.projection"),
    *_position_rules(backbone["position_norm"], f"{theirs}encoder."),
    *norm_rules("encoder/norm", f"{theirs}encoder.layer_norm"),
    *_block_rules("encoder/blocks", f"{theirs}encoder.layers.{{layer}}"),
  )


def _position_rules(norm: str, theirs: str) -> tuple[Rule, ...]:
  bias = Rule("encoder/position/bias", f"{theirs}{_POSITION}bias", SAME)
  if norm == "weight":
    scale = Rule("encoder/position/scale", f"{theirs}{_SCALE}", TOKEN)
    return (bias, scale, Rule("encoder/position/kernel", f"{theirs}{_DIRECTION}", CONV_TIME))
  names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
  batch = f"{theirs}pos_conv_embed.batch_norm"
  norms = (
    Rule(f"encoder/position/norm/{our}", f"{batch}.{name}", SAME) for our, name in names.items()
  )
  kernel = Rule("encoder/position/kernel", f"{theirs}{_POSITION}weight", CONV_TIME)
  return (bias, kernel, *norms)


def _block_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
  linears = {
    "attention/query": "attention.q_proj",
    "attention/key": "attention.k_proj",
    "attention/value": "attention.v_proj",
    "attention/out": "attention.out_proj",
    "mlp/up": "feed_forward.intermediate_dense",
    "mlp/down": "feed_forward.output_dense",
  }
  rules = norm_rules(f"{ours}/norm1", f"{theirs}.layer_norm")
  rules += norm_rules(f"{ours}/norm2", f"{theirs}.final_layer_norm")
  for our_name, their_name in linears.items():
    rules += linear_rules(f"{ours}/{our_name}", f"{theirs}.{their_name}")
  return rules

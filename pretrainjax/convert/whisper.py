"""Our Whisper (an encoder and a decoder) <-> Hugging Face's WhisperForConditionalGeneration."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import CONV_TIME, SAME, Rule, linear_rules, norm_rules
from pretrainjax.models.whisper import WhisperDecoder, WhisperEncoder

MODEL_TYPE = "whisper"
CLASSES = {
  "WhisperForConditionalGeneration": Holds(("backbone", "decoder")),
  "WhisperModel": Holds(("backbone", "decoder")),
}
_PREFIX = "model."
_TABLE = f"{_PREFIX}decoder.embed_tokens.weight"
_IDS = {"start_id": "decoder_start_token_id", "end_id": "eos_token_id", "pad_id": "pad_token_id"}
_TOKENS_A_SECOND = 50


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  fields.must_be("scale_embedding", False)
  fields.must_be("tie_word_embeddings", True)
  shared = {
    "embed_dim": fields.integer("d_model", 384),
    "activation": fields.activation("activation_function", "gelu"),
    "dropout": fields.rate("dropout", 0.0),
    "inner_dropout": fields.rate("activation_dropout", 0.0),
    "attention_dropout": fields.rate("attention_dropout", 0.0),
    "init_std": fields.number("init_std", 0.02),
  }
  bands = fields.integer("num_mel_bins", 80)
  length = fields.integer("max_source_positions", 1500)
  sizes = _sizes(fields, "encoder") | shared
  backbone = recipe(WhisperEncoder, num_mels=bands, length=length, **sizes)
  vocab_size = fields.integer("vocab_size", 51_865)
  decoder = recipe(
    WhisperDecoder,
    vocab_size=vocab_size,
    max_length=fields.integer("max_target_positions", 448),
    **{ours: _token(fields, theirs, vocab_size) for ours, theirs in _IDS.items()},
    **_sizes(fields, "decoder"),
    **shared,
  )
  return {"backbone": backbone, "decoder": decoder}


def _sizes(fields: Fields, side: str) -> dict[str, int]:
  fields.no_rate(f"{side}_layerdrop")
  return {
    "num_layers": fields.integer(f"{side}_layers", 4),
    "num_heads": fields.integer(f"{side}_attention_heads", 6),
    "mlp_dim": fields.integer(f"{side}_ffn_dim", 1536),
  }


def _token(fields: Fields, name: str, vocab_size: int) -> int:
  default = 50_257 if name == "decoder_start_token_id" else 50_256
  found = fields.integer(name, default, lowest=0)
  if found >= vocab_size:
    raise fields.refused(name, f"a token below vocab_size, {vocab_size}")
  return found


def read_processor(fields: Fields, backbone: ConfigDict) -> dict[str, Any]:
  """Refuses a preprocessor_config.json of another spectrogram than Whisper's."""
  fields.must_be("sampling_rate", 16_000)
  fields.must_be("hop_length", 160)
  fields.must_be("n_fft", 400)
  fields.must_be("dither", 0.0, 0)
  fields.must_be("feature_size", backbone.num_mels)
  seconds = backbone.length / _TOKENS_A_SECOND
  if abs(fields.number("chunk_length", seconds) - seconds) > 1e-6:
    raise fields.refused("chunk_length", f"{seconds:g}, as max_source_positions says")
  return {}


def write_processor(recipes: Recipes) -> dict[str, Any]:
  """The content of preprocessor_config.json."""
  backbone = recipes["backbone"]
  seconds = backbone.length / _TOKENS_A_SECOND
  return {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": backbone.num_mels,
    "sampling_rate": 16_000,
    "hop_length": 160,
    "n_fft": 400,
    "chunk_length": int(seconds) if seconds == int(seconds) else seconds,
    "padding_side": "right",
    "padding_value": 0.0,
    "dither": 0.0,
    "return_attention_mask": False,
  }


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, decoder = recipes["backbone"], recipes["decoder"]
  if not makes(backbone, WhisperEncoder) or not makes(decoder, WhisperDecoder):
    return False
  if not decoder.get("hears_padding", True):
    return False
  shared = ("embed_dim", "activation", "dropout", "inner_dropout", "attention_dropout", "eps")
  return all(backbone[name] == decoder[name] for name in shared) and backbone.eps == 1e-5


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone, decoder = recipes["backbone"], recipes["decoder"]
  sides = {}
  for side, network in (("encoder", backbone), ("decoder", decoder)):
    sides |= {
      f"{side}_layers": network.num_layers,
      f"{side}_attention_heads": network.num_heads,
      f"{side}_ffn_dim": network.mlp_dim,
      f"{side}_layerdrop": 0.0,
    }
  return sides | {
    "d_model": backbone.embed_dim,
    "num_mel_bins": backbone.num_mels,
    "max_source_positions": backbone.length,
    "max_target_positions": decoder.max_length,
    "vocab_size": decoder.vocab_size,
    **{theirs: decoder[ours] for ours, theirs in _IDS.items()},
    "bos_token_id": decoder.end_id,
    "activation_function": their_activation(backbone.activation),
    "dropout": backbone.dropout,
    "activation_dropout": backbone.inner_dropout,
    "attention_dropout": backbone.attention_dropout,
    "init_std": backbone.init_std,
    "is_encoder_decoder": True,
    "scale_embedding": False,
    "tie_word_embeddings": True,
    # Of the run that this was, not of the network: none is taken for a default.
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  is_bare = kind == "WhisperModel"
  return Table(
    whisper_rules(),
    plain=lambda name: with_prefix(name, _PREFIX, ("proj_out.",)),
    written=lambda name: name.removeprefix(_PREFIX) if is_bare else name,
    copies={"proj_out.weight": _TABLE},
  )


def whisper_rules() -> tuple[Rule, ...]:
  """The table of both stacks."""
  encoder, decoder = f"{_PREFIX}encoder", f"{_PREFIX}decoder"
  rules: tuple[Rule, ...] = ()
  for i in (1, 2):
    rules += (Rule(f"encoder/conv{i}/kernel", f"{encoder}.conv{i}.weight", CONV_TIME),)
    rules += (Rule(f"encoder/conv{i}/bias", f"{encoder}.conv{i}.bias", SAME),)
  return (
    *rules,
    Rule("encoder/position_table", f"{encoder}.embed_positions.weight", SAME),
    *_stack("encoder", encoder, cross=False),
    Rule("decoder/token_embedding", _TABLE, SAME),
    Rule("decoder/position_table", f"{decoder}.embed_positions.weight", SAME),
    *_stack("decoder", decoder, cross=True),
  )


def _stack(ours: str, theirs: str, *, cross: bool) -> tuple[Rule, ...]:
  blocks, layer = f"{ours}/blocks", f"{theirs}.layers.{{layer}}"
  rules = _attention(f"{blocks}/attention", f"{layer}.self_attn")
  rules += norm_rules(f"{blocks}/norm1", f"{layer}.self_attn_layer_norm")
  if cross:
    rules += _attention(f"{blocks}/cross_attention", f"{layer}.encoder_attn")
    rules += norm_rules(f"{blocks}/norm_cross", f"{layer}.encoder_attn_layer_norm")
  rules += norm_rules(f"{blocks}/norm2", f"{layer}.final_layer_norm")
  rules += linear_rules(f"{blocks}/mlp/up", f"{layer}.fc1")
  rules += linear_rules(f"{blocks}/mlp/down", f"{layer}.fc2")
  return rules + norm_rules(f"{ours}/norm", f"{theirs}.layer_norm")


def _attention(ours: str, theirs: str) -> tuple[Rule, ...]:
  rules: tuple[Rule, ...] = ()
  for name, letter in (("query", "q"), ("key", "k"), ("value", "v")):
    bias = name != "key"
    rules += linear_rules(f"{ours}/{name}", f"{theirs}.{letter}_proj", bias=bias)
  return rules + linear_rules(f"{ours}/out", f"{theirs}.out_proj")

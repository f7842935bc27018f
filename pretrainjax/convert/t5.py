"""Our T5 (an encoder and a decoder) <-> Hugging Face's T5ForConditionalGeneration.

A decoder without a table of its own is one with tied embeddings.
"""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import ACTIVATIONS, Fields, their_activation
from pretrainjax.convert.table import SAME, Rule, linear_rules, norm_rules
from pretrainjax.models.t5 import T5Decoder, T5Encoder

MODEL_TYPE = "t5"
CLASSES = {
  "T5ForConditionalGeneration": Holds(("backbone", "decoder")),
  "T5EncoderModel": Holds(("backbone",)),
}
# Arguments that the two stacks have in common.
_ALIKE = (
  "vocab_size",
  "embed_dim",
  "num_heads",
  "head_dim",
  "mlp_dim",
  "activation",
  "gated",
  "num_buckets",
  "max_distance",
  "eps",
  "dropout",
)
_SHARED, _HEAD = "shared.weight", "lm_head.weight"
_COPIES = {f"{side}.embed_tokens.weight": _SHARED for side in ("encoder", "decoder")}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  word = fields.get("feed_forward_proj", "relu")
  gated = isinstance(word, str) and word.startswith("gated-")
  name = str(word).removeprefix("gated-")
  # As transformers has it: for gates, "gelu" stands for its approximation.
  name = "gelu_new" if word == "gated-gelu" else name
  if name not in ACTIVATIONS:
    raise fields.refused("feed_forward_proj", f"[gated-] and one of {', '.join(ACTIVATIONS)}")
  # Version 5 says tied of all, and of those that were not (1.1) that their outputs have no scale.
  said = fields.flag("tie_word_embeddings", True)
  scaled = fields.flag("scale_decoder_outputs", said)
  tied = said and (scaled or _HEAD not in fields.tensors)
  depth = fields.integer("num_layers", 6)
  sizes = {
    "vocab_size": fields.integer("vocab_size", 32128),
    "embed_dim": fields.integer("d_model", 512),
    "num_heads": fields.integer("num_heads", 8),
    "head_dim": fields.integer("d_kv", 64),
    "mlp_dim": fields.integer("d_ff", 2048),
    "activation": ACTIVATIONS[name],
    "gated": gated,
    "num_buckets": fields.integer("relative_attention_num_buckets", 32),
    "max_distance": fields.integer("relative_attention_max_distance", 128),
    "eps": fields.number("layer_norm_epsilon", 1e-6),
    "dropout": fields.rate("dropout_rate", 0.1),
  }
  length = fields.integer("n_positions", 512)
  backbone = recipe(T5Encoder, **sizes, num_layers=depth, max_length=length)
  if kind == "T5EncoderModel":
    return {"backbone": backbone}
  depth = fields.integer("num_decoder_layers", depth)
  top = {"tied": tied, "scaled": scaled if tied else True}
  return {"backbone": backbone, "decoder": recipe(T5Decoder, **sizes, num_layers=depth, **top)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, decoder = recipes["backbone"], recipes.get("decoder")
  if not makes(backbone, T5Encoder):
    return False
  if kind == "T5EncoderModel":
    return True
  return makes(decoder, T5Decoder) and all(backbone[name] == decoder[name] for name in _ALIKE)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone, decoder = recipes["backbone"], recipes.get("decoder")
  decoder = None if kind == "T5EncoderModel" else decoder
  tied = decoder is None or decoder.tied
  gate = "gated-" if backbone.gated else ""
  name = their_activation(backbone.activation)
  name = "gelu" if (gate, name) == ("gated-", "gelu_new") else name
  pad = 0 if tokens.pad is None else tokens.pad
  return {
    "vocab_size": backbone.vocab_size,
    "n_positions": backbone.max_length,
    "d_model": backbone.embed_dim,
    "num_layers": backbone.num_layers,
    "num_decoder_layers": backbone.num_layers if decoder is None else decoder.num_layers,
    "num_heads": backbone.num_heads,
    "d_kv": backbone.head_dim,
    "d_ff": backbone.mlp_dim,
    "feed_forward_proj": f"{gate}{name}",
    "relative_attention_num_buckets": backbone.num_buckets,
    "relative_attention_max_distance": backbone.max_distance,
    "layer_norm_epsilon": backbone.eps,
    "dropout_rate": backbone.dropout,
    "tie_word_embeddings": tied,
    "scale_decoder_outputs": tied and (decoder is None or decoder.scaled),
    "is_encoder_decoder": decoder is not None,
    "pad_token_id": pad,
    "decoder_start_token_id": pad,
    "eos_token_id": 1 if tokens.end is None else tokens.end,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  gated = recipes["backbone"].gated
  rules = (Rule("encoder/token_embedding", _SHARED, SAME),)
  rules += _side("encoder", cross=False, gated=gated)
  if kind == "T5EncoderModel":
    return Table(rules, copies=_COPIES, others=(r"^decoder\.", r"^lm_head\."))
  rules += _side("decoder", cross=True, gated=gated)
  if recipes["decoder"].tied:
    return Table(rules, copies=_COPIES | {_HEAD: _SHARED})
  return Table((*rules, Rule("decoder/output_table", _HEAD, SAME)), copies=_COPIES)


def _side(side: str, *, cross: bool, gated: bool) -> tuple[Rule, ...]:
  """The table of one stack; attention to the other one stands between the two other layers."""
  block, ours = f"{side}.block.{{layer}}.layer", f"{side}/blocks"
  last = 1 + cross
  bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
  rules = (
    Rule(f"{side}/relative_bias/table", bias, SAME),
    *_attention(f"{ours}/attention", f"{block}.0.SelfAttention"),
    *norm_rules(f"{ours}/norm1", f"{block}.0.layer_norm", bias=False),
    *norm_rules(f"{ours}/norm2", f"{block}.{last}.layer_norm", bias=False),
    *norm_rules(f"{side}/norm", f"{side}.final_layer_norm", bias=False),
  )
  if cross:
    rules += _attention(f"{ours}/cross_attention", f"{block}.1.EncDecAttention")
    rules += norm_rules(f"{ours}/norm_cross", f"{block}.1.layer_norm", bias=False)
  linears = (("gate", "wi_0"), ("up", "wi_1"), ("down", "wo"))
  for name, theirs in linears if gated else (("up", "wi"), ("down", "wo")):
    dense = f"{block}.{last}.DenseReluDense.{theirs}"
    rules += linear_rules(f"{ours}/mlp/{name}", dense, bias=False)
  return rules


def _attention(ours: str, theirs: str) -> tuple[Rule, ...]:
  rules: tuple[Rule, ...] = ()
  for name, letter in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o")):
    rules += linear_rules(f"{ours}/{name}", f"{theirs}.{letter}", bias=False)
  return rules

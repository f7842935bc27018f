"""Our Llama <-> Hugging Face's LlamaForCausalLM and LlamaModel, and what Mistral and Qwen share.

A bare model has no head: read here it is tied, as nothing else could be its head.
Channels of queries and keys are paired as theirs (i with i + half), so that nothing is permuted.
"""

import logging
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, rope_theta
from pretrainjax.convert.table import SAME, Rule, linear_rules, norm_rules
from pretrainjax.models.llama import Llama

MODEL_TYPE = "llama"
CLASSES = {"LlamaForCausalLM": Holds(("backbone",)), "LlamaModel": Holds(("backbone",))}
_PREFIX = "model."
_FULL, _SLIDING = "full_attention", "sliding_attention"
_WINDOW = 4096  # of Qwen, where nothing is said
_log = logging.getLogger(__name__)
_TABLE, _HEAD = f"{_PREFIX}embed_tokens.weight", "lm_head.weight"


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  for name in ("attention_bias", "mlp_bias"):
    fields.must_be(name, False)
  fields.must_be("pretraining_tp", 1)
  heads = fields.integer("num_attention_heads")
  if fields.integer("hidden_size") % heads:
    raise fields.refused("num_attention_heads", "a divisor of hidden_size")
  kv_heads = fields.integer("num_key_value_heads", heads)
  length = fields.integer("max_position_embeddings", 2048)
  sizes = read_decoder(fields, kind, kv_heads=kv_heads, length=length)
  return {"backbone": recipe(Llama, **sizes)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone = recipes["backbone"]
  return is_decoder(backbone) and backbone.embed_dim % backbone.num_heads == 0


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  fields = write_decoder(recipes["backbone"], tokens)
  return fields | {"attention_bias": False, "mlp_bias": False}


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`; those of Mistral and Qwen have the same names."""
  backbone = recipes["backbone"]
  is_bare = kind.endswith("Model")
  options = {name: backbone[name] for name in ("qkv_bias", "qk_norm")}
  options["tied"] = backbone.tied or is_bare
  return Table(
    _rules(**options),
    plain=lambda name: with_prefix(name, _PREFIX, ("lm_head.", "score.")),
    written=lambda name: name.removeprefix(_PREFIX) if is_bare else name,
    copies={_HEAD: _TABLE} if backbone.tied else {},
    buffers=(r"rotary_emb\.inv_freq$",),  # wavelengths, which older files hold
    left=() if backbone.tied or not is_bare else ("encoder/output_embedding",),
  )


def read_decoder(
  fields: Fields, kind: str, *, kv_heads: int, length: int, head_dim: int | None = None
) -> dict[str, Any]:
  """The arguments of `Llama` out of a config.json of its kind.

  Args:
    fields: the config.json of Llama, Mistral, Qwen2 or Qwen3.
    kind: the class that it names.
    kv_heads: the number of heads of keys and values.
    length: tokens of the longest row.
    head_dim: width of one head where nothing is said; None is hidden_size / num_attention_heads.
  """
  fields.must_be("hidden_act", "silu", "swish")
  tied = fields.flag("tie_word_embeddings", False)
  if not tied and kind.endswith("Model"):
    _log.warning("%s: %s has no head, the table of tokens stands in for one", fields.path, kind)
    tied = True
  width, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
  head_dim = fields.integer("head_dim", head_dim or width // heads)
  return {
    "vocab_size": fields.integer("vocab_size"),
    "max_length": length,
    "embed_dim": width,
    "num_layers": fields.integer("num_hidden_layers"),
    "num_heads": heads,
    "num_kv_heads": kv_heads,
    "mlp_dim": fields.integer("intermediate_size"),
    "head_dim": None if head_dim * heads == width else head_dim,
    "tied": tied,
    "theta": rope_theta(fields, default=10_000.0, old="rope_theta"),
    "eps": fields.number("rms_norm_eps", 1e-6),
    "attention_dropout": fields.rate("attention_dropout", 0.0),
    "init_std": fields.number("initializer_range", 0.02),
  }


def read_qwen(fields: Fields, kind: str, *, head_dim: int | None = None) -> dict[str, Any]:
  """The arguments of `Llama` out of a config.json of Qwen2 or Qwen3, see `read_decoder`."""
  sizes = {"length": fields.integer("max_position_embeddings", 32_768), "head_dim": head_dim}
  sizes |= {"kv_heads": fields.integer("num_key_value_heads")}
  return read_decoder(fields, kind, **sizes) | {"window": _qwen_window(fields)}


def _qwen_window(fields: Fields) -> int | None:
  """The window of all layers; windows of some are refused."""
  kinds, uses = fields.get("layer_types", None), fields.flag("use_sliding_window", False)
  uses = uses and fields.values.get("sliding_window", _WINDOW) is not None
  if kinds is None:
    first = fields.integer("max_window_layers", 28, lowest=0) if uses else 1 << 31
    count = fields.integer("num_hidden_layers")
    if 0 < first < count:
      raise fields.refused("max_window_layers", f"0, or {count}: ours has one kind of layers")
    kinds = [_FULL if first else _SLIDING]
  allowed = (_FULL, _SLIDING) if uses else (_FULL,)
  found = kinds if isinstance(kinds, list) else [kinds]
  if any(kind not in allowed or kind != found[0] for kind in found) or found is not kinds:
    raise fields.refused("layer_types", "one kind for all: ours has one kind of layers")
  if found[:1] != [_SLIDING]:
    return None
  return fields.integer("sliding_window", _WINDOW, lowest=2) - 1  # theirs counts the token itself


def write_qwen(backbone: ConfigDict, tokens: Tokens) -> dict[str, Any]:
  """What config.json of Qwen2 and Qwen3 says, see `write_decoder`."""
  window, count = backbone.window, backbone.num_layers
  fields = write_decoder(backbone, tokens) | {"use_sliding_window": window is not None}
  if window is None:
    return fields
  kinds = {"max_window_layers": 0, "layer_types": [_SLIDING] * count}
  return fields | {"sliding_window": window + 1} | kinds


def is_decoder(
  backbone: ConfigDict, *, qkv_bias: bool = False, qk_norm: bool = False, windowed: bool = False
) -> bool:
  """Whether a recipe makes a `Llama` with these and no other additions.

  Args:
    backbone: the recipe of the encoder.
    qkv_bias: whether queries, keys and values have a bias.
    qk_norm: whether queries and keys are normalised.
    windowed: whether it may have a window.
  """
  if not makes(backbone, Llama) or (backbone.window is not None and not windowed):
    return False
  return (backbone.qkv_bias, backbone.qk_norm) == (qkv_bias, qk_norm)


def write_decoder(backbone: ConfigDict, tokens: Tokens) -> dict[str, Any]:
  """What config.json says of a `Llama`: `rope_parameters` for transformers 5, the rest for 4."""
  return {
    "vocab_size": backbone.vocab_size,
    "max_position_embeddings": backbone.max_length,
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "num_key_value_heads": backbone.num_kv_heads or backbone.num_heads,
    "head_dim": backbone.head_dim or backbone.embed_dim // backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "tie_word_embeddings": backbone.tied,
    "rope_theta": backbone.theta,
    "rope_parameters": {"rope_type": "default", "rope_theta": backbone.theta},
    "rms_norm_eps": backbone.eps,
    "hidden_act": "silu",
    "attention_dropout": backbone.attention_dropout,
    "initializer_range": backbone.init_std,
    "bos_token_id": tokens.begin,
    "eos_token_id": tokens.end,
    "pad_token_id": tokens.pad,
  }


def _rules(*, tied: bool, qkv_bias: bool, qk_norm: bool) -> tuple[Rule, ...]:
  """The table of a Llama's parameters.

  Args:
    tied: whether the head is the table of tokens, or its own.
    qkv_bias: whether queries, keys and values have a bias.
    qk_norm: whether queries and keys are normalised.
  """
  layer = f"{_PREFIX}layers.{{layer}}"
  biased = {
    "attention/query": "self_attn.q_proj",
    "attention/key": "self_attn.k_proj",
    "attention/value": "self_attn.v_proj",
  }
  plain = {
    "attention/out": "self_attn.o_proj",
    "mlp/gate": "mlp.gate_proj",
    "mlp/up": "mlp.up_proj",
    "mlp/down": "mlp.down_proj",
  }
  norms = {"norm1": "input_layernorm", "norm2": "post_attention_layernorm"}
  if qk_norm:
    norms |= {f"attention/{n}_norm": f"self_attn.{n[0]}_norm" for n in ("query", "key")}
  table = (Rule("encoder/token_embedding", _TABLE, SAME),)
  table += () if tied else (Rule("encoder/output_embedding", _HEAD, SAME),)
  for ours, theirs in norms.items():
    table += norm_rules(f"encoder/blocks/{ours}", f"{layer}.{theirs}", bias=False)
  for ours, theirs in (biased | plain).items():
    has_bias = qkv_bias and ours in biased
    table += linear_rules(f"encoder/blocks/{ours}", f"{layer}.{theirs}", bias=has_bias)
  return table + norm_rules("encoder/norm", f"{_PREFIX}norm", bias=False)

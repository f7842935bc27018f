"""Our ModernBERT <-> Hugging Face's ModernBertModel and ModernBertForMaskedLM."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, rope_theta, their_activation
from pretrainjax.convert.table import LINEAR, SAME, Rule, linear_rules, norm_rules
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.modern_bert import ModernBERT

MODEL_TYPE = "modernbert"
CLASSES = {
  "ModernBertForMaskedLM": Holds(("backbone", "head")),
  "ModernBertModel": Holds(("backbone",)),
}
_FULL, _SLIDING = "full_attention", "sliding_attention"
_COPIES = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  for name in ("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"):
    fields.must_be(name, False)
  fields.must_be("hidden_activation", "gelu")
  fields.must_be("decoder_bias", True)
  fields.must_be("tie_word_embeddings", True)
  backbone = recipe(
    ModernBERT,
    vocab_size=fields.integer("vocab_size", 50368),
    max_length=fields.integer("max_position_embeddings", 8192),
    embed_dim=fields.integer("hidden_size", 768),
    num_layers=fields.integer("num_hidden_layers", 22, lowest=2),
    num_heads=fields.integer("num_attention_heads", 12),
    mlp_dim=fields.integer("intermediate_size", 1152),
    window=fields.integer("local_attention", 128, lowest=2),
    global_every=_global_every(fields),
    global_theta=rope_theta(fields, _FULL, default=160_000.0, old="global_rope_theta"),
    local_theta=rope_theta(fields, _SLIDING, default=10_000.0, old="local_rope_theta"),
    eps=fields.number("norm_eps", 1e-5),
    dropout=fields.one_rate("embedding_dropout", "mlp_dropout", default=0.0),
    attention_dropout=fields.rate("attention_dropout", 0.0),
    init_std=fields.number("initializer_range", 0.02),
  )
  if kind == "ModernBertModel":
    return {"backbone": backbone}
  head = recipe(
    MaskedLMHead,
    embed_dim=backbone.embed_dim,
    vocab_size=backbone.vocab_size,
    eps=backbone.eps,
    norm="layer_scale",
    use_bias=False,
    activation=fields.activation("classifier_activation", "gelu"),
  )
  return {"backbone": backbone, "head": head}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, head = recipes["backbone"], recipes.get("head")
  if not makes(backbone, ModernBERT):
    return False
  if kind == "ModernBertModel":
    return True
  is_head = makes(head, MaskedLMHead) and (head.norm, head.use_bias) == ("layer_scale", False)
  return is_head and head.eps == backbone.eps


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`: `rope_parameters` for 5, the rest for 4."""
  backbone = recipes["backbone"]
  thetas = {_FULL: backbone.global_theta, _SLIDING: backbone.local_theta}
  layers = range(backbone.num_layers)
  return {
    "vocab_size": backbone.vocab_size,
    "max_position_embeddings": backbone.max_length,
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "local_attention": backbone.window,
    "global_attn_every_n_layers": backbone.global_every,
    "layer_types": [_SLIDING if i % backbone.global_every else _FULL for i in layers],
    "global_rope_theta": backbone.global_theta,
    "local_rope_theta": backbone.local_theta,
    "rope_parameters": {
      name: {"rope_type": "default", "rope_theta": theta} for name, theta in thetas.items()
    },
    "norm_eps": backbone.eps,
    **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False),
    "decoder_bias": True,
    "tie_word_embeddings": True,
    "hidden_activation": "gelu",
    "classifier_activation": their_activation(
      recipes["head"].activation if makes(recipes.get("head"), MaskedLMHead) else "gelu"
    ),
    "classifier_pooling": "mean" if backbone.pool == "mean" else "cls",
    "embedding_dropout": backbone.dropout,
    "mlp_dropout": backbone.dropout,
    "attention_dropout": backbone.attention_dropout,
    "initializer_range": backbone.init_std,
    "pad_token_id": 0 if tokens.pad is None else tokens.pad,
    "bos_token_id": tokens.begin,
    "cls_token_id": tokens.begin,
    "eos_token_id": tokens.end,
    "sep_token_id": tokens.end,
  }


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  is_bare = kind == "ModernBertModel"
  return Table(
    _encoder_rules() if is_bare else (*_encoder_rules(), *_head_rules()),
    plain=lambda name: with_prefix(name, "model.", ("head.", "decoder.", "classifier.")),
    written=lambda name: name.removeprefix("model.") if is_bare else name,
    copies=_COPIES,
    buffers=(r"rotary_emb\.", r"inv_freq$"),
  )


def _global_every(fields: Fields) -> int:
  """How many layers are a turn, as transformers 4 says it, or by the list of version 5."""
  every = fields.values.get("global_attn_every_n_layers")
  kinds = fields.get("layer_types", None)
  if kinds is None:
    return fields.integer("global_attn_every_n_layers", 3)
  if not isinstance(kinds, list) or len(kinds) != fields.integer("num_hidden_layers", 22):
    raise fields.refused("layer_types", "one kind for each of num_hidden_layers")
  if every is None:
    places = [i for i, found in enumerate(kinds) if found == _FULL]
    every = places[1] if len(places) > 1 else len(kinds)
  if kinds != [_SLIDING if i % every else _FULL for i in range(len(kinds))]:
    raise fields.refused("layer_types", "full attention in each n-th layer from the first on")
  return fields.integer("global_attn_every_n_layers", every)


def _head_rules() -> tuple[Rule, ...]:
  return (
    *linear_rules("head/dense", "head.dense", bias=False),
    *norm_rules("head/norm", "head.norm", bias=False),
    Rule("head/bias", "decoder.bias", SAME),
  )


def _encoder_rules() -> tuple[Rule, ...]:
  layer = "model.layers.{layer}"
  return (
    Rule("encoder/token_embedding", "model.embeddings.tok_embeddings.weight", SAME),
    *norm_rules("encoder/embedding_norm", "model.embeddings.norm", bias=False),
    # Their layer 0, which has no norm before attention, is not in our stack.
    *_block_rules("encoder/stem", "model.layers.0", first=0),
    *_block_rules("encoder/blocks", layer, first=1),
    *norm_rules("encoder/blocks/norm1", f"{layer}.attn_norm", bias=False, first=1),
    *norm_rules("encoder/norm", "model.final_norm", bias=False),
  )


def _block_rules(ours: str, theirs: str, *, first: int) -> tuple[Rule, ...]:
  attention = tuple(f"{ours}/attention/{name}/kernel" for name in ("query", "key", "value"))
  perceptron = (f"{ours}/mlp/gate/kernel", f"{ours}/mlp/up/kernel")
  return (
    Rule(attention, f"{theirs}.attn.Wqkv.weight", LINEAR, first=first),
    Rule(perceptron, f"{theirs}.mlp.Wi.weight", LINEAR, first=first),
    *linear_rules(f"{ours}/attention/out", f"{theirs}.attn.Wo", bias=False, first=first),
    *linear_rules(f"{ours}/mlp/down", f"{theirs}.mlp.Wo", bias=False, first=first),
    *norm_rules(f"{ours}/norm2", f"{theirs}.mlp_norm", bias=False, first=first),
  )

"""Our BERT <-> Hugging Face's BertModel and BertForMaskedLM, and what RoBERTa and ELECTRA share."""

import re
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.classes import read_classifier, write_classes
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import SAME, Layout, Rule, linear_rules, norm_rules
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head, Pooler
from pretrainjax.models.lm_head import MaskedLMHead

MODEL_TYPE = "bert"
CLASSES = {
  "BertForMaskedLM": Holds(("backbone", "head")),
  "BertForPreTraining": Holds(("backbone", "head")),
  "BertForSequenceClassification": Holds(("backbone", "head")),
  "BertModel": Holds(("backbone",), optional=("pooler",)),
}
_HEAD = "cls.predictions"
_COPIES = {
  f"{_HEAD}.decoder.weight": "bert.embeddings.word_embeddings.weight",
  f"{_HEAD}.decoder.bias": f"{_HEAD}.bias",
}
BUFFERS = (r"embeddings\.position_ids$", r"embeddings\.token_type_ids$")


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  recipes = {"backbone": recipe(BERT, **read_encoder(fields))}
  return recipes | _read_heads(fields, kind, recipes["backbone"])


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone = recipes["backbone"]
  if not is_encoder(backbone) or backbone.num_types < 2 or backbone.position_offset:
    return False
  return not is_narrow(backbone) and fits_heads(recipes, kind)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  return (
    write_encoder(backbone, tokens)
    | {
      "max_position_embeddings": backbone.max_length,
      "type_vocab_size": backbone.num_types,
    }
    | write_heads(recipes, kind)
  )


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = encoder_rules("bert.")
  if kind.endswith(("ForMaskedLM", "ForPreTraining")):
    rules += _head_rules()
  if kind.endswith("ForSequenceClassification"):
    rules += linear_rules("head/hidden", "bert.pooler.dense")
    rules += linear_rules("head/classifier", "classifier")
  if "pooler" in recipes:
    rules += linear_rules("pooler/dense", "bert.pooler.dense")
  is_bare = kind.endswith("Model")
  return Table(
    rules,
    plain=lambda name: with_prefix(plain_name(name), "bert.", ("cls.", "classifier.")),
    written=lambda name: name.removeprefix("bert.") if is_bare else name,
    copies=_COPIES,
    buffers=BUFFERS,
    others=(r"^cls\.seq_relationship\.", *(() if "ForSeq" in kind else (r"^bert\.pooler\.",))),
  )


def read_encoder(fields: Fields, *, offset: int = 0) -> dict[str, Any]:
  """The arguments of `BERT` out of a config.json of its kind.

  Args:
    fields: the config.json of BERT, RoBERTa or ELECTRA.
    offset: rows of the table of positions before the first one's.
  """
  fields.must_be("is_decoder", False)
  fields.must_be("add_cross_attention", False)
  fields.must_be("position_embedding_type", "absolute")
  fields.must_be("tie_word_embeddings", True)
  length = fields.integer("max_position_embeddings", 512)
  if length <= offset:
    raise fields.refused("max_position_embeddings", f"more than {offset}")
  return {
    "vocab_size": fields.integer("vocab_size"),
    "max_length": length - offset,
    "embed_dim": fields.integer("hidden_size"),
    "num_layers": fields.integer("num_hidden_layers"),
    "num_heads": fields.integer("num_attention_heads"),
    "mlp_dim": fields.integer("intermediate_size"),
    "position_offset": offset,
    "num_types": fields.integer("type_vocab_size", 2),
    "activation": fields.activation("hidden_act", "gelu"),
    "eps": fields.number("layer_norm_eps", 1e-12),
    "dropout": fields.rate("hidden_dropout_prob", 0.1),
    "attention_dropout": fields.rate("attention_probs_dropout_prob", 0.1),
    "init_std": fields.number("initializer_range", 0.02),
  }


def _read_heads(fields: Fields, kind: str, backbone: ConfigDict) -> dict[str, ConfigDict]:
  """The recipes of what a class of BERT's kind has on top."""
  if kind.endswith("ForSequenceClassification"):
    return {"head": read_classifier(fields, backbone.embed_dim, hidden_dim=backbone.embed_dim)}
  if kind.endswith("Model"):
    return {"pooler": recipe(Pooler, embed_dim=backbone.embed_dim, init_std=backbone.init_std)}
  sizes = {name: backbone[name] for name in ("embed_dim", "vocab_size", "eps", "init_std")}
  return {"head": recipe(MaskedLMHead, **sizes, activation=backbone.activation)}


def write_encoder(backbone: ConfigDict, tokens: Tokens) -> dict[str, Any]:
  """What config.json says of a `BERT`, but for its positions and types."""
  return {
    "vocab_size": backbone.vocab_size,
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "hidden_act": their_activation(backbone.activation),
    "layer_norm_eps": backbone.eps,
    "hidden_dropout_prob": backbone.dropout,
    "attention_probs_dropout_prob": backbone.attention_dropout,
    "initializer_range": backbone.init_std,
    "tie_word_embeddings": True,
    "pad_token_id": 0 if tokens.pad is None else tokens.pad,
    "bos_token_id": tokens.begin,
    "eos_token_id": tokens.end,
  }


def write_heads(recipes: Recipes, kind: str) -> dict[str, Any]:
  """What config.json says of the classes of a classifier."""
  if not kind.endswith("Classification"):
    return {}
  return write_classes(recipes["head"].num_classes)


def is_encoder(backbone: ConfigDict) -> bool:
  """Whether a recipe makes a `BERT` with types whose norms stand where published ones have them."""
  return makes(backbone, BERT) and backbone.order == "post" and backbone.num_types > 0


def fits_heads(recipes: Recipes, kind: str) -> bool:
  """Whether what is on top of a `BERT` is what a class of its kind has."""
  head, backbone = recipes.get("head"), recipes["backbone"]
  if kind.endswith("Model"):
    return True
  if kind.endswith("ForSequenceClassification"):
    return (
      makes(head, Head)
      and head.hidden_dim == backbone.embed_dim
      and (head.activation, head.batch_norm, backbone.pool) == ("tanh", False, "cls")
    )
  if not makes(head, MaskedLMHead) or (head.norm, head.use_bias) != ("layer", True):
    return False
  if head.embed_dim != backbone.embed_dim or head.embedding_dim not in (None, head.embed_dim):
    return False
  return (head.activation, head.eps) == (backbone.activation, backbone.eps)


def is_narrow(backbone: ConfigDict) -> bool:
  """Whether the tables of a `BERT` have another width than its tokens."""
  return backbone.embedding_dim not in (None, backbone.embed_dim)


def plain_name(name: str) -> str:
  """Today's name of a tensor: files made from TensorFlow's say gamma and beta of layer norms."""
  name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
  return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def encoder_rules(
  theirs: str, *, positions: Layout = SAME, projection: bool = False
) -> tuple[Rule, ...]:
  """The table of an encoder.

  Args:
    theirs: prefix of their names, "bert.".
    positions: layout of the table of positions.
    projection: whether tables are narrower than tokens (ELECTRA).
  """
  tables = f"{theirs}embeddings"
  rules = (
    Rule("encoder/token_embedding", f"{tables}.word_embeddings.weight", SAME),
    Rule("encoder/position_table", f"{tables}.position_embeddings.weight", positions),
    Rule("encoder/type_embedding", f"{tables}.token_type_embeddings.weight", SAME),
    *norm_rules("encoder/embedding_norm", f"{tables}.LayerNorm"),
    *_block_rules("encoder/blocks", f"{theirs}encoder.layer.{{layer}}"),
  )
  if projection:
    rules += linear_rules("encoder/embedding_projection", f"{theirs}embeddings_project")
  return rules


def _head_rules() -> tuple[Rule, ...]:
  return (
    *linear_rules("head/dense", f"{_HEAD}.transform.dense"),
    *norm_rules("head/norm", f"{_HEAD}.transform.LayerNorm"),
    Rule("head/bias", f"{_HEAD}.bias", SAME),
  )


def _block_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
  linears = {
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/out": "attention.output.dense",
    "mlp/up": "intermediate.dense",
    "mlp/down": "output.dense",
  }
  rules = norm_rules(f"{ours}/norm1", f"{theirs}.attention.output.LayerNorm")
  rules += norm_rules(f"{ours}/norm2", f"{theirs}.output.LayerNorm")
  for our_name, their_name in linears.items():
    rules += linear_rules(f"{ours}/{our_name}", f"{theirs}.{their_name}")
  return rules

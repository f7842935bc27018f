"""Our BERT without types <-> Hugging Face's DistilBertModel and DistilBertForMaskedLM."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.bert import fits_heads, is_narrow, write_heads
from pretrainjax.convert.classes import read_classifier
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import SAME, Rule, linear_rules, norm_rules
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead

MODEL_TYPE = "distilbert"
CLASSES = {
  "DistilBertForMaskedLM": Holds(("backbone", "head")),
  "DistilBertForSequenceClassification": Holds(("backbone", "head")),
  "DistilBertModel": Holds(("backbone",)),
}
_PREFIX = "distilbert."
_HEADS = ("vocab_", "pre_classifier.", "classifier.")
_TABLE = f"{_PREFIX}embeddings.word_embeddings.weight"
_EPS = 1e-12  # their code has it, and config.json has no place for another


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`.

  `sinusoidal_pos_embds` only says how positions started: they are stored, and read as they are.
  """
  fields.must_be("tie_word_embeddings", True)
  backbone = recipe(
    BERT,
    vocab_size=fields.integer("vocab_size"),
    max_length=fields.integer("max_position_embeddings", 512),
    embed_dim=fields.integer("dim", 768),
    num_layers=fields.integer("n_layers", 6),
    num_heads=fields.integer("n_heads", 12),
    mlp_dim=fields.integer("hidden_dim", 3072),
    num_types=0,
    activation=fields.activation("activation", "gelu"),
    eps=_EPS,
    dropout=fields.rate("dropout", 0.1),
    attention_dropout=fields.rate("attention_dropout", 0.1),
    init_std=fields.number("initializer_range", 0.02),
  )
  if kind.endswith("Model"):
    return {"backbone": backbone}
  if kind.endswith("ForSequenceClassification"):
    hidden = {"hidden_dim": backbone.embed_dim, "activation": "relu"}
    return {"backbone": backbone, "head": read_classifier(fields, backbone.embed_dim, **hidden)}
  names = ("embed_dim", "vocab_size", "activation", "eps", "init_std")
  return {"backbone": backbone, "head": recipe(MaskedLMHead, **{n: backbone[n] for n in names})}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, head = recipes["backbone"], recipes.get("head")
  if not makes(backbone, BERT) or is_narrow(backbone):
    return False
  types_and_offset = (backbone.num_types, backbone.position_offset)
  if types_and_offset != (0, 0) or (backbone.order, backbone.eps) != ("post", _EPS):
    return False
  if kind.endswith("ForSequenceClassification"):
    expected = (backbone.embed_dim, "relu", False)
    is_head = makes(head, Head) and backbone.pool == "cls"
    return is_head and (head.hidden_dim, head.activation, head.batch_norm) == expected
  return fits_heads(recipes, kind)


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  return {
    "vocab_size": backbone.vocab_size,
    "max_position_embeddings": backbone.max_length,
    "sinusoidal_pos_embds": False,
    "dim": backbone.embed_dim,
    "n_layers": backbone.num_layers,
    "n_heads": backbone.num_heads,
    "hidden_dim": backbone.mlp_dim,
    "activation": their_activation(backbone.activation),
    "dropout": backbone.dropout,
    "attention_dropout": backbone.attention_dropout,
    "initializer_range": backbone.init_std,
    "tie_word_embeddings": True,
    "pad_token_id": 0 if tokens.pad is None else tokens.pad,
    "bos_token_id": tokens.begin,
    "eos_token_id": tokens.end,
  } | write_heads(recipes, kind)


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules = _encoder_rules()
  if kind.endswith("ForMaskedLM"):
    rules += linear_rules("head/dense", "vocab_transform")
    rules += norm_rules("head/norm", "vocab_layer_norm")
    rules += (Rule("head/bias", "vocab_projector.bias", SAME),)
  if kind.endswith("ForSequenceClassification"):
    rules += linear_rules("head/hidden", "pre_classifier")
    rules += linear_rules("head/classifier", "classifier")
  is_bare = kind.endswith("Model")
  return Table(
    rules,
    plain=lambda name: with_prefix(name, _PREFIX, _HEADS),
    written=lambda name: name.removeprefix(_PREFIX) if is_bare else name,
    copies={"vocab_projector.weight": _TABLE} if kind.endswith("ForMaskedLM") else {},
    buffers=(r"embeddings\.position_ids$",),
  )


def _encoder_rules() -> tuple[Rule, ...]:
  layer = f"{_PREFIX}transformer.layer.{{layer}}"
  linears = {
    "attention/query": "attention.q_lin",
    "attention/key": "attention.k_lin",
    "attention/value": "attention.v_lin",
    "attention/out": "attention.out_lin",
    "mlp/up": "ffn.lin1",
    "mlp/down": "ffn.lin2",
  }
  rules = (
    Rule("encoder/token_embedding", _TABLE, SAME),
    Rule("encoder/position_table", f"{_PREFIX}embeddings.position_embeddings.weight", SAME),
    *norm_rules("encoder/embedding_norm", f"{_PREFIX}embeddings.LayerNorm"),
    *norm_rules("encoder/blocks/norm1", f"{layer}.sa_layer_norm"),
    *norm_rules("encoder/blocks/norm2", f"{layer}.output_layer_norm"),
  )
  for ours, theirs in linears.items():
    rules += linear_rules(f"encoder/blocks/{ours}", f"{layer}.{theirs}")
  return rules

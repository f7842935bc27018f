"""Our BERT with one type <-> Hugging Face's RobertaModel and RobertaForMaskedLM.

Their positions begin at `pad_token_id` + 1: the table has as many rows more, which ours has too
(`position_offset`) where it was made from theirs, and else gets when it is written.
"""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.bert import (
  BUFFERS,
  encoder_rules,
  fits_heads,
  is_encoder,
  is_narrow,
  plain_name,
  read_encoder,
  write_encoder,
  write_heads,
)
from pretrainjax.convert.classes import read_classifier
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import SAME, Rule, linear_rules, norm_rules, rows_after
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head, Pooler
from pretrainjax.models.lm_head import MaskedLMHead

MODEL_TYPE = "roberta"
CLASSES = {
  "RobertaForMaskedLM": Holds(("backbone", "head")),
  "RobertaForSequenceClassification": Holds(("backbone", "head")),
  "RobertaModel": Holds(("backbone",), optional=("pooler",)),
}
_COPIES = {
  "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
  "lm_head.decoder.bias": "lm_head.bias",
}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  offset = fields.integer("pad_token_id", 1, lowest=0) + 1
  backbone = recipe(BERT, **read_encoder(fields, offset=offset))
  if kind.endswith("ForSequenceClassification"):
    hidden = {"hidden_dim": backbone.embed_dim, "dropout": backbone.dropout}
    return {"backbone": backbone, "head": read_classifier(fields, backbone.embed_dim, **hidden)}
  if kind.endswith("Model"):
    sizes = {"embed_dim": backbone.embed_dim, "init_std": backbone.init_std}
    return {"backbone": backbone, "pooler": recipe(Pooler, **sizes)}
  sizes = {name: backbone[name] for name in ("embed_dim", "vocab_size", "eps", "init_std")}
  return {"backbone": backbone, "head": recipe(MaskedLMHead, **sizes)}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, head = recipes["backbone"], recipes.get("head")
  if not is_encoder(backbone) or is_narrow(backbone):
    return False
  if backbone.num_types > 1 and not backbone.position_offset:
    return False  # a BERT
  if kind.endswith("ForMaskedLM"):  # whose head is exact GELU, whatever the encoder's activation
    is_head = makes(head, MaskedLMHead) and (head.norm, head.use_bias) == ("layer", True)
    return is_head and (head.activation, head.eps) == ("gelu", backbone.eps)
  return fits_heads(recipes, kind) and (kind.endswith("Model") or makes(head, Head))


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone, offset = recipes["backbone"], _offset(recipes, tokens)
  return (
    write_encoder(backbone, tokens)
    | {
      "max_position_embeddings": backbone.max_length + offset,
      "type_vocab_size": backbone.num_types,
      "pad_token_id": offset - 1,
    }
    | write_heads(recipes, kind)
  )


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  has_rows = recipes["backbone"].position_offset > 0
  positions = SAME if has_rows else rows_after(_offset(recipes, tokens))
  rules = encoder_rules("roberta.", positions=positions)
  if kind.endswith("ForMaskedLM"):
    rules += _head_rules()
  if kind.endswith("ForSequenceClassification"):
    rules += linear_rules("head/hidden", "classifier.dense")
    rules += linear_rules("head/classifier", "classifier.out_proj")
  if "pooler" in recipes:
    rules += linear_rules("pooler/dense", "roberta.pooler.dense")
  is_bare = kind.endswith("Model")
  return Table(
    rules,
    plain=lambda name: with_prefix(plain_name(name), "roberta.", ("lm_head.", "classifier.")),
    written=lambda name: name.removeprefix("roberta.") if is_bare else name,
    copies=_COPIES,
    buffers=BUFFERS,
    others=(r"^roberta\.pooler\.",),
  )


def _offset(recipes: Recipes, tokens: Tokens) -> int:
  """The rows of their table of positions before the first one's."""
  own = recipes["backbone"].position_offset
  return own or 1 + (1 if tokens.pad is None else tokens.pad)


def _head_rules() -> tuple[Rule, ...]:
  return (
    *linear_rules("head/dense", "lm_head.dense"),
    *norm_rules("head/norm", "lm_head.layer_norm"),
    Rule("head/bias", "lm_head.bias", SAME),
  )

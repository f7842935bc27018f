"""What the towers of CLIP and of SigLIP share: sizes of transformers, blocks, and two in one file.

The names are those of transformers 4 and of published files; version 5 reads them too, and leaves
the prefix out where it writes a tower by itself.
"""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.family import Recipes, Table, makes, with_prefix
from pretrainjax.convert.fields import Fields, their_activation
from pretrainjax.convert.table import SAME, Rule, linear_rules, norm_rules, patch_layout
from pretrainjax.models.heads import Projector
from pretrainjax.models.text_tower import TextTower
from pretrainjax.models.vit import ViT

IMAGE, TEXT = "vision_model.", "text_model."
BUFFERS = (r"embeddings\.position_ids$",)
# What stands beside the towers in a file, and has no prefix.
_BESIDE = ("visual_projection.", "text_projection.", "logit_scale", "logit_bias")


def read_sizes(
  fields: Fields, *, width: int, heads: int, mlp: int, activation: str, eps: float
) -> dict[str, Any]:
  """The arguments of a transformer out of a tower's config.json.

  Args:
    fields: the values of the config.json, or of one tower in it.
    width: their default of the width of tokens.
    heads: their default of the number of heads.
    mlp: their default of the width inside the perceptrons.
    activation: their default of its name.
    eps: their default of what is added to variances.
  """
  return {
    "embed_dim": fields.integer("hidden_size", width),
    "num_layers": fields.integer("num_hidden_layers", 12),
    "num_heads": fields.integer("num_attention_heads", heads),
    "mlp_dim": fields.integer("intermediate_size", mlp),
    "activation": fields.activation("hidden_act", activation),
    "eps": fields.number("layer_norm_eps", eps),
  }


def write_sizes(backbone: ConfigDict) -> dict[str, Any]:
  """The inverse of `read_sizes`."""
  return {
    "hidden_size": backbone.embed_dim,
    "num_hidden_layers": backbone.num_layers,
    "num_attention_heads": backbone.num_heads,
    "intermediate_size": backbone.mlp_dim,
    "hidden_act": their_activation(backbone.activation),
    "layer_norm_eps": backbone.eps,
  }


def read_patches(fields: Fields, *, patch_size: int) -> dict[str, Any]:
  """The arguments of `ViT` that say what images are, out of a tower's config.json.

  Args:
    fields: the values of the config.json, or of one tower in it.
    patch_size: their default of the size of patches.
  """
  fields.no_rate("attention_dropout")
  size, patch = fields.integer("image_size", 224), fields.integer("patch_size", patch_size)
  channels = fields.integer("num_channels", 3)
  return {
    "image_size": size,
    "patch_size": patch,
    "num_channels": channels,
    "position": "learned",
    "cut_edges": size % patch > 0,
  }


def write_patches(backbone: ConfigDict) -> dict[str, Any]:
  """The inverse of `read_patches`."""
  size = backbone.image_size
  return {
    "image_size": size if isinstance(size, int) else size[0],
    "patch_size": backbone.patch_size,
    "num_channels": backbone.num_channels,
    "attention_dropout": 0.0,
  }


def is_image_tower(backbone: ConfigDict, **expected: Any) -> bool:
  """Whether a recipe makes a `ViT` on squares with these arguments and none of other families'.

  Args:
    backbone: the recipe of the encoder.
    **expected: arguments that decide, by name.
  """
  if not makes(backbone, ViT):
    return False
  plain = {"num_registers": 0, "layer_scale": None, "gated": False, "position": "learned"}
  if any(backbone[name] != value for name, value in (plain | expected).items()):
    return False
  size = backbone.image_size
  return isinstance(size, int) or size[0] == size[1]


def is_text_tower(backbone: ConfigDict, **expected: Any) -> bool:
  """Whether a recipe makes a `TextTower` with these arguments."""
  known = makes(backbone, TextTower)
  return known and all(backbone[name] == value for name, value in expected.items())


def projector(in_dim: int, out_dim: int, *, use_bias: bool) -> ConfigDict:
  """The recipe of a linear layer behind a tower.

  Args:
    in_dim: width of the tower.
    out_dim: width of the features that are compared.
    use_bias: whether the layer has a bias.
  """
  sizes = {"in_dim": in_dim, "out_dim": out_dim, "num_layers": 1}
  return recipe(Projector, **sizes, batch_norm=False, use_bias=use_bias)


def is_projector(made: ConfigDict | None, *, use_bias: bool) -> bool:
  """Whether a recipe makes a linear layer, with a bias or without."""
  if made is None or not makes(made, Projector):
    return False
  found = (made.num_layers, made.batch_norm, made.last_batch_norm, made.use_bias)
  return found == (1, False, False, use_bias)


def image_rules(backbone: ConfigDict, ours: str) -> tuple[Rule, ...]:
  """The table of an encoder of images, but for what its class says of tokens and norms.

  Args:
    backbone: the recipe of the encoder.
    ours: what begins the paths of our parameters, "encoder/" or "image/".
  """
  patch = f"{IMAGE}embeddings.patch_embedding"
  kernel = patch_layout(backbone.num_channels)
  return (
    Rule(f"{ours}patch_embed/kernel", f"{patch}.weight", kernel),
    *((Rule(f"{ours}patch_embed/bias", f"{patch}.bias", SAME),) if backbone.patch_bias else ()),
    *_block_rules(f"{ours}blocks", IMAGE),
  )


def text_rules(ours: str) -> tuple[Rule, ...]:
  """The table of an encoder of texts.

  Args:
    ours: what begins the paths of our parameters, "encoder/" or "text/".
  """
  tables = f"{TEXT}embeddings"
  return (
    Rule(f"{ours}token_embedding", f"{tables}.token_embedding.weight", SAME),
    Rule(f"{ours}position_table", f"{tables}.position_embedding.weight", SAME),
    *_block_rules(f"{ours}blocks", TEXT),
    *norm_rules(f"{ours}norm", f"{TEXT}final_layer_norm"),
  )


def _block_rules(ours: str, prefix: str) -> tuple[Rule, ...]:
  layer = f"{prefix}encoder.layers.{{layer}}"
  rules = norm_rules(f"{ours}/norm1", f"{layer}.layer_norm1")
  rules += norm_rules(f"{ours}/norm2", f"{layer}.layer_norm2")
  for our_name, their_name in {
    "attention/query": "self_attn.q_proj",
    "attention/key": "self_attn.k_proj",
    "attention/value": "self_attn.v_proj",
    "attention/out": "self_attn.out_proj",
    "mlp/up": "mlp.fc1",
    "mlp/down": "mlp.fc2",
  }.items():
    rules += linear_rules(f"{ours}/{our_name}", f"{layer}.{their_name}")
  return rules


def tower_table(rules: tuple[Rule, ...], prefix: str) -> Table:
  """The tensors of a tower by itself, with the prefix or without.

  Args:
    rules: what our parameters are called with the prefix.
    prefix: `IMAGE` or `TEXT`.
  """
  return Table(rules, plain=lambda name: with_prefix(name, prefix, _BESIDE), buffers=BUFFERS)


def of_tower(recipes: Recipes, name: str) -> dict[str, Any]:
  """The recipes of one tower of two, as if it were alone.

  Args:
    recipes: those of both towers, by argument.
    name: "image" or "text".
  """
  found = {"backbone": recipes[name], "projector": recipes.get(f"{name}_projector")}
  return {argument: made for argument, made in found.items() if made is not None}

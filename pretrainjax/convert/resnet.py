"""Our ResNet <-> Hugging Face's ResNetModel and ResNetForImageClassification.

Their counters of batches, which nothing reads as long as the momentum is fixed, are nothing to us.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.classes import is_linear, read_classifier, write_classes
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes, with_prefix
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import CONV, SAME, Rule, linear_rules
from pretrainjax.models.resnet import DEPTHS, STEM_DIM, ResNet, Stages, stages_of

MODEL_TYPE = "resnet"
CLASSES = {
  "ResNetForImageClassification": Holds(("backbone", "head")),
  "ResNetModel": Holds(("backbone",)),
}
_KINDS = {"basic": False, "bottleneck": True}
_MOST_BLOCKS = 1000
# Of a stage, a block and one of its convolutions (0 is the shortcut's): the name on their side.
ConvName = Callable[[int, int, int], str]


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  fields.must_be("hidden_act", "relu")
  for name in ("downsample_in_first_stage", "downsample_in_bottleneck"):
    fields.must_be(name, False)
  stages = Stages(
    counts=fields.integers("depths", (3, 4, 6, 3)),
    widths=fields.integers("hidden_sizes", (256, 512, 1024, 2048)),
    bottleneck=fields.choice("layer_type", _KINDS, "bottleneck"),
  )
  if sum(stages.counts) > _MOST_BLOCKS:
    raise fields.refused("depths", f"at most {_MOST_BLOCKS} blocks")
  if len(stages.counts) != len(stages.widths):
    raise fields.refused("hidden_sizes", f"one for each of depths, {len(stages.counts)}")
  stem_dim = fields.integer("embedding_size", STEM_DIM)
  channels = fields.integer("num_channels", 3)
  backbone = recipe(ResNet, **arguments(stages, stem_dim=stem_dim), **_images(channels))
  if kind == "ResNetModel":
    return {"backbone": backbone}
  return {"backbone": backbone, "head": read_classifier(fields, stages.widths[-1])}


def _images(num_channels: int) -> dict[str, Any]:
  """The channels of images, and where they are not three a scaling that holds until one is read."""
  plain = {"image_mean": (0.5,), "image_std": (0.5,)} if num_channels != 3 else {}
  return {"num_channels": num_channels, **plain}


def arguments(stages: Stages, *, stem_dim: int) -> dict[str, Any]:
  """The arguments of `ResNet` that make stages: a depth of the paper where it is one.

  Args:
    stages: the stages that a config.json asks for.
    stem_dim: channels of the first convolution.
  """
  depth = next((depth for depth in DEPTHS if stages_of(depth) == stages), None)
  own = {"depth": None, **stages._asdict()}
  return ({"depth": depth} if depth is not None else own) | {"stem_dim": stem_dim}


def stages_in(backbone: ConfigDict) -> Stages:
  """The stages of a recipe of `ResNet`."""
  if backbone.depth is not None:
    return stages_of(backbone.depth)
  return Stages(tuple(backbone.counts), tuple(backbone.widths), backbone.bottleneck)


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone = recipes["backbone"]
  if not makes(backbone, ResNet) or backbone.stem != "imagenet":
    return False
  return kind == "ResNetModel" or is_linear(recipes.get("head"))


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`."""
  backbone = recipes["backbone"]
  stages = stages_in(backbone)
  fields = {
    "num_channels": backbone.num_channels,
    "embedding_size": backbone.stem_dim,
    "hidden_sizes": list(stages.widths),
    "depths": list(stages.counts),
    "layer_type": "bottleneck" if stages.bottleneck else "basic",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
  }
  has_head = kind == "ResNetForImageClassification"
  return fields | (write_classes(recipes["head"].num_classes) if has_head else {})


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules, counters = encoder_rules(recipes["backbone"], conv=_conv, norm=_norm)
  if kind == "ResNetForImageClassification":
    rules += linear_rules("head/classifier", "classifier.1")
  return Table(
    rules,
    plain=lambda name: with_prefix(name, "resnet.", ("classifier.",)),
    written=lambda name: name.removeprefix("resnet.") if kind == "ResNetModel" else name,
    fillers=counters,
  )


def encoder_rules(
  backbone: ConfigDict, *, conv: ConvName, norm: ConvName
) -> tuple[tuple[Rule, ...], dict[str, np.ndarray]]:
  """The table of a ResNet, and the counters of its batch norms.

  Args:
    backbone: the recipe of the encoder.
    conv: the function that names a convolution on their side; (0, 0, 0) is the stem's.
    norm: the function that names the batch norm behind it, likewise.
  """
  stages, rules, counters = stages_in(backbone), (), {}
  num_convs, width = 2 + stages.bottleneck, backbone.stem_dim
  places = [("encoder/stem_", "", (0, 0, 0))]
  for stage, (count, out) in enumerate(zip(stages.counts, stages.widths, strict=True), start=1):
    for block in range(1, count + 1):
      prefix = f"encoder/stage{stage}_block{block}/"
      places += [(prefix, str(i), (stage, block, i)) for i in range(1, num_convs + 1)]
      if block == 1 and (stage > 1 or out != width):
        places.append((f"{prefix}shortcut_", "", (stage, block, 0)))
    width = out
  for prefix, number, place in places:
    theirs = norm(*place)
    names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    rules += (Rule(f"{prefix}conv{number}/kernel", f"{conv(*place)}.weight", CONV),)
    for ours, name in names.items():
      rules += (Rule(f"{prefix}norm{number}/{ours}", f"{theirs}.{name}", SAME),)
    counters[f"{theirs}.num_batches_tracked"] = np.zeros((), np.int64)
  return rules, counters


def _conv(stage: int, block: int, index: int) -> str:
  return f"{_layer(stage, block, index)}.convolution"


def _norm(stage: int, block: int, index: int) -> str:
  return f"{_layer(stage, block, index)}.normalization"


def _layer(stage: int, block: int, index: int) -> str:
  if not stage:
    return "resnet.embedder.embedder"
  prefix = f"resnet.encoder.stages.{stage - 1}.layers.{block - 1}"
  return f"{prefix}.layer.{index - 1}" if index else f"{prefix}.shortcut"

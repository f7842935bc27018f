"""Our ResNet <-> timm's ResNet, of the architectures resnet18, 34, 50, 101 and 152.

timm has no stem for small images (a 3x3 convolution and no pooling). Its names serve all the same:
such a config.json says {"pretrainjax": {"stem": "cifar"}}, and the model card how timm loads it.
"""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert import timm_config
from pretrainjax.convert.classes import is_linear
from pretrainjax.convert.family import Holds, Recipes, Table, Tokens, makes
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.resnet import arguments, encoder_rules, stages_in
from pretrainjax.convert.table import linear_rules
from pretrainjax.models.resnet import STEM_DIM, ResNet, Stages, stages_of

LIBRARY = "timm"
MODEL_TYPE = "ResNet"
CLASSES = {"ResNet": Holds(("backbone",), optional=("head",))}
_DEPTHS = (18, 34, 50, 101, 152)
ARCHITECTURES = {f"resnet{depth}": depth for depth in _DEPTHS}
_STEMS = {"imagenet": "imagenet", "cifar": "cifar"}
_EXPANSION = {False: 1, True: 4}
_STAGES, _MOST_BLOCKS = 4, 1000
# The arguments of timm's class that ours can follow, and the only values that some may have.
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
  **dict.fromkeys(("in_chans", "num_classes", "layers", "channels", "drop_rate"), ()),
  "zero_init_last": (),  # of new networks only
  "global_pool": ("avg",),
  "drop_path_rate": (0.0, 0),
}


def read_config(fields: Fields, kind: str) -> dict[str, ConfigDict]:
  """The recipes of a class's networks, see `family.Family`."""
  own = stages_of(ARCHITECTURES[fields.get("architecture")])
  found = timm_config.arguments_of(fields, {}, _ARGUMENTS)
  grows = _EXPANSION[own.bottleneck]
  planes = found.integers("channels", tuple(width // grows for width in own.widths))
  stages = Stages(
    counts=found.integers("layers", own.counts),
    widths=tuple(plane * grows for plane in planes),
    bottleneck=own.bottleneck,
  )
  if sum(stages.counts) > _MOST_BLOCKS or len(stages.counts) != _STAGES:
    raise found.refused("layers", f"{_STAGES} numbers, at most {_MOST_BLOCKS} together")
  if len(planes) != _STAGES:
    raise found.refused("channels", f"{_STAGES} numbers")
  channels = found.integer("in_chans")
  backbone = recipe(
    ResNet,
    **arguments(stages, stem_dim=STEM_DIM),
    num_channels=channels,
    stem=fields.inner("pretrainjax").choice("stem", _STEMS, "imagenet"),
    **timm_config.read_statistics(fields, channels),
  )
  return {"backbone": backbone, **timm_config.read_head(found, stages.widths[-1])}


def fits(recipes: Recipes, kind: str) -> bool:
  """Whether a class can express networks, see `family.Family`."""
  backbone, head = recipes["backbone"], recipes.get("head")
  if not makes(backbone, ResNet) or backbone.stem_dim != STEM_DIM:
    return False
  stages = stages_in(backbone)
  rest = sum(width % _EXPANSION[stages.bottleneck] for width in stages.widths)
  return len(stages.widths) == _STAGES and not rest and (head is None or is_linear(head))


def write_config(recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
  """The config.json of a class, see `family.Family`; its name is of the same kind of blocks."""
  backbone = recipes["backbone"]
  stages = stages_in(backbone)
  depth = backbone.depth if backbone.depth in _DEPTHS else 50 if stages.bottleneck else 18
  own, arguments = stages_of(depth), {"global_pool": "avg"}
  if stages.counts != own.counts:
    arguments["layers"] = list(stages.counts)
  if stages.widths != own.widths:
    arguments["channels"] = [w // _EXPANSION[stages.bottleneck] for w in stages.widths]
  fields = timm_config.write(
    f"resnet{depth}",
    arguments,
    backbone=backbone,
    head=recipes.get("head"),
    num_features=stages.widths[-1],
    layers=("conv1", "fc"),
    fixed_size=False,
  )
  return fields | ({} if backbone.stem == "imagenet" else {"pretrainjax": {"stem": backbone.stem}})


def table(recipes: Recipes, kind: str, tokens: Tokens) -> Table:
  """The tensors of a class, see `family.Family`."""
  rules, counters = encoder_rules(recipes["backbone"], conv=_conv, norm=_norm)
  if "head" in recipes:
    rules += linear_rules("head/classifier", "fc")
  return Table(rules, fillers=counters)


def _conv(stage: int, block: int, index: int) -> str:
  return _layer(stage, block, f"conv{index}" if index else "downsample.0")


def _norm(stage: int, block: int, index: int) -> str:
  return _layer(stage, block, f"bn{index}" if index else "downsample.1")


def _layer(stage: int, block: int, name: str) -> str:
  stem = {"downsample.0": "conv1", "downsample.1": "bn1"}
  return f"layer{stage}.{block - 1}.{name}" if stage else stem[name]

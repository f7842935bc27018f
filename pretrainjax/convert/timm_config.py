"""What config.json of timm says of any model: how its weights were made, and its images.

`architecture` is the name of a function of timm, `model_args` are the arguments that differ from
what that function has by itself, `pretrained_cfg` tells of the weights:
https://huggingface.co/docs/timm.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.objects import recipe
from pretrainjax.convert.fields import Fields
from pretrainjax.models.heads import Head

# What timm takes where pretrained_cfg says nothing.
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_INPUT_SIZE = [3, 224, 224]


def arguments_of(
  fields: Fields, own: Mapping[str, Any], expected: Mapping[str, tuple[Any, ...]]
) -> Fields:
  """The arguments of timm's class, those of the architecture beneath those of config.json.

  Args:
    fields: the values of the config.json.
    own: the arguments that the architecture has by itself.
    expected: every argument that a model of ours can follow, with the values that it can have where
      these are few; () where it is read.

  Raises:
    UserError: for an argument that ours cannot follow.
  """
  given = fields.inner("model_args")
  images = fields.inner("pretrained_cfg")
  size = images.integers("input_size", _INPUT_SIZE)
  if len(size) != 3:
    raise images.refused("input_size", "three numbers: channels, rows, columns")
  classes = fields.get("num_classes", images.get("num_classes", 1000))
  defaults = {"in_chans": size[0], "img_size": list(size[1:]), "num_classes": classes}
  found = Fields({**defaults, **own, **given.values}, given.path, fields.tensors)
  for name, value in given.values.items():
    if name not in expected and value is not None:
      raise found.refused(name, "nothing: our model has no such argument")
  for name, choices in expected.items():
    if choices:
      found.must_be(name, *choices)
  return found


def read_statistics(fields: Fields, num_channels: int) -> dict[str, Any]:
  """The arguments `image_mean` and `image_std` of an encoder of images.

  Args:
    fields: the values of the config.json.
    num_channels: channels C of the images.
  """
  images, found = fields.inner("pretrained_cfg"), {}
  for name, default in (("mean", _MEAN), ("std", _STD)):
    numbers = images.get(name, default if num_channels == 3 else [0.5] * num_channels)
    plain = isinstance(numbers, list) and all(type(n) in (int, float) for n in numbers)
    if not plain or len(numbers) != num_channels or (name == "std" and min(numbers) <= 0):
      raise images.refused(name, f"{num_channels} numbers, one a channel")
    found[f"image_{name}"] = tuple(map(float, numbers))
  return found


def read_head(arguments: Fields, in_dim: int) -> dict[str, ConfigDict]:
  """The classifier as the argument "head"; nothing where there are no classes.

  Args:
    arguments: what `arguments_of` returned.
    in_dim: width of the features.
  """
  classes, rate = arguments.integer("num_classes", lowest=0), arguments.rate("drop_rate", 0.0)
  return {"head": recipe(Head, in_dim=in_dim, num_classes=classes, dropout=rate)} if classes else {}


def write(
  architecture: str,
  arguments: Mapping[str, Any],
  *,
  backbone: ConfigDict,
  head: ConfigDict | None,
  num_features: int,
  layers: tuple[str, str],
  fixed_size: bool,
) -> dict[str, Any]:
  """The content of config.json, but for the size of images.

  Args:
    architecture: the name of a function of timm.
    arguments: those of its class that differ.
    backbone: the recipe of the encoder.
    head: the recipe of the classifier, None for none.
    num_features: width of the features.
    layers: the names of the first convolution and of the classifier.
    fixed_size: whether the network takes images of one size only.
  """
  channels, classes = backbone.num_channels, 0 if head is None else head.num_classes
  rates = {} if head is None or not head.dropout else {"drop_rate": head.dropout}
  scaling = {"mean": list(backbone.image_mean), "std": list(backbone.image_std)}
  return {
    "architecture": architecture,
    "num_classes": classes,
    "num_features": num_features,
    "global_pool": arguments["global_pool"],
    "model_args": {**arguments, **rates, "in_chans": channels},
    "pretrained_cfg": {
      "fixed_input_size": fixed_size,
      "interpolation": "bicubic",
      "crop_pct": 1.0,
      "num_classes": classes,
      "first_conv": layers[0],
      "classifier": layers[1],
      **{n: v * channels if len(v) == 1 else v for n, v in scaling.items()},
    },
  }

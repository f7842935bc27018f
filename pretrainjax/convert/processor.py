"""How images and sound become numbers, as preprocessor_config.json says it.

The file is called processor_config.json in transformers 5.
"""

import os
from pathlib import Path
from typing import Any

from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.untrusted import read_json

OLD, NEW = "preprocessor_config.json", "processor_config.json"


def read_statistics(folder: Path, *, inside: Path, num_channels: int) -> dict[str, Any]:
  """The arguments `image_mean` and `image_std` of an encoder of images.

  Args:
    folder: the folder of config.json.
    inside: the folder that no link may lead out of.
    num_channels: the channels of the encoder's images.

  Returns:
    Both; nothing where the folder has no such file.

  Raises:
    UserError: for a scaling that our encoders do not have.
  """
  fields = _fields(folder, inside=inside, part="image_processor")
  if fields is None:
    return {}
  fields.must_be("do_rescale", True)
  if abs(fields.number("rescale_factor", 1 / 255) - 1 / 255) > 1e-6:
    raise fields.refused("rescale_factor", "1/255")
  if not fields.flag("do_normalize", True):
    return {"image_mean": (0.0,), "image_std": (1.0,)}
  values = {name: fields.get(name, [0.5] * num_channels) for name in ("image_mean", "image_std")}
  for name, numbers in values.items():
    plain = isinstance(numbers, list) and all(type(n) in (int, float) for n in numbers)
    if not plain or len(numbers) != num_channels or (name == "image_std" and min(numbers) <= 0):
      raise fields.refused(name, f"{num_channels} numbers, one a channel")
  return {name: tuple(map(float, numbers)) for name, numbers in values.items()}


def read_extractor(folder: Path, *, inside: Path) -> Fields | None:
  """What the folder says of how sound becomes numbers; None where it has no such file.

  Args:
    folder: the folder of config.json.
    inside: the folder that no link may lead out of.

  Raises:
    UserError: for a file that is no dictionary.
  """
  return _fields(folder, inside=inside, part="feature_extractor")


def _fields(folder: Path, *, inside: Path, part: str) -> Fields | None:
  path = next((folder / name for name in (OLD, NEW) if os.path.lexists(folder / name)), None)
  if path is None:
    return None
  found = read_json(path, inside=inside)
  found = found.get(part, found) if isinstance(found, dict) else found
  if not isinstance(found, dict):
    raise UserError(f"{path}: is no dictionary")
  return Fields(found, path)


def write_statistics(
  *, mean: tuple[float, ...], std: tuple[float, ...], size: tuple[int, int], num_channels: int
) -> dict[str, Any]:
  """The content of preprocessor_config.json for an encoder of images.

  Args:
    mean: the mean of pixels / 255, one value or one a channel.
    std: their standard deviation, likewise.
    size: the rows and columns of images.
    num_channels: channels C of the images.
  """
  mean, std = (list(v) * num_channels if len(v) == 1 else list(v) for v in (mean, std))
  return {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": size[0], "width": size[1]},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": mean,
    "image_std": std,
  }

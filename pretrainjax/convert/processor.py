"""How images and sound become numbers, as preprocessor_config.json says it.

The file is called processor_config.json in transformers 5.
"""

import logging
import os
from pathlib import Path
from typing import Any

from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.untrusted import read_json

OLD, NEW = "preprocessor_config.json", "processor_config.json"
# Their class that scales images, by the beginning of that of the network.
_CLASSES = {"CLIP": "CLIPImageProcessor", "Siglip": "SiglipImageProcessor"}
_log = logging.getLogger(__name__)


def read_statistics(
  folder: Path,
  *,
  inside: Path,
  num_channels: int,
  mean: tuple[float, ...] = (0.5,),
  std: tuple[float, ...] = (0.5,),
  size: int | tuple[int, int] | None = None,
) -> dict[str, Any]:
  """The arguments `image_mean` and `image_std` of an encoder of images.

  Args:
    folder: the folder of config.json.
    inside: the folder that no link may lead out of.
    num_channels: the channels of the encoder's images.
    mean: the mean where the file says none.
    std: the standard deviation where the file says none.
    size: the size of the encoder's images, of which a line tells where the file has another; None
      where any size will do.

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
  _compare_sizes(fields, size)
  usual = {"image_mean": mean, "image_std": std}
  usual = {name: list(n) * (num_channels if len(n) == 1 else 1) for name, n in usual.items()}
  values = {name: fields.get(name, numbers) for name, numbers in usual.items()}
  for name, numbers in values.items():
    plain = isinstance(numbers, list) and all(type(n) in (int, float) for n in numbers)
    if not plain or len(numbers) != num_channels or (name == "image_std" and min(numbers) <= 0):
      raise fields.refused(name, f"{num_channels} numbers, one a channel")
  return {name: tuple(map(float, numbers)) for name, numbers in values.items()}


def _compare_sizes(fields: Fields, size: int | tuple[int, int] | None) -> None:
  """Tells of images that are made of another size than the encoder reads."""
  is_cropped = fields.get("do_center_crop", False) is True and fields.get("crop_size", None)
  found = fields.get("crop_size" if is_cropped else "size", None)
  if isinstance(found, dict):
    found = (found.get("height"), found.get("width"))
  found = (found, found) if isinstance(found, int) else found
  expected = (size, size) if isinstance(size, int) else size
  is_pair = isinstance(found, tuple) and all(type(side) is int for side in found)
  if is_pair and expected is not None and found != expected:
    said = "%s: makes images of %s x %s, the encoder reads %s x %s: its own size is taken"
    _log.warning(said, fields.path, *found, *expected)


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
  *,
  mean: tuple[float, ...],
  std: tuple[float, ...],
  size: tuple[int, int],
  num_channels: int,
  kind: str = "",
) -> dict[str, Any]:
  """The content of preprocessor_config.json for an encoder of images.

  Args:
    mean: the mean of pixels / 255, one value or one a channel.
    std: their standard deviation, likewise.
    size: the rows and columns of images.
    num_channels: channels C of the images.
    kind: the class of transformers that the encoder is written as.
  """
  mean, std = (list(v) * num_channels if len(v) == 1 else list(v) for v in (mean, std))
  known = (theirs for begin, theirs in _CLASSES.items() if kind.startswith(begin))
  return {
    "image_processor_type": next(known, "ViTImageProcessor"),
    "do_resize": True,
    "size": {"height": size[0], "width": size[1]},
    "resample": 3,
    **({"do_center_crop": False} if kind.startswith("CLIP") else {}),  # which CLIP's has by itself
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": mean,
    "image_std": std,
  }

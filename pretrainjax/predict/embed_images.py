"""Features of images: `predict embed --workdir=WORKDIR --input=PHOTOS --out=FILE`.

They are those that evaluations take, by the same transform: of files, of all images of a folder, or
of a split of a prepared set. A command that was stopped goes on where it was when it is given
again: finished parts lie in OUT.parts until all are there.
"""

import argparse
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.config.allowed import TARGET
from pretrainjax.config.objects import build
from pretrainjax.data.dataset_folder import data_folder, newest_version
from pretrainjax.data.fields.image import noted_pixels
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.data.pixels import UNNOTED, Pixels
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.evaluators.features import extract_features
from pretrainjax.predict.encoded_inputs import Part, left_out
from pretrainjax.predict.feature_file import checked_out, write_features
from pretrainjax.predict.image_inputs import ImageFiles, RecordedPass, find_dataset, find_files
from pretrainjax.types import Encoder

# Images a part: what a command that is stopped loses at most.
_PART = 4096


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict embed` that images have."""
  parser.add_argument("--split", default="test", help="of a prepared set of images (default: test)")
  parser.add_argument("--size", type=int, help="of images; unless given, as in evaluations")
  parser.add_argument("--short_side", type=int, help="of images before cutting, likewise")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict embed` for an encoder of images."""
  options = request.options
  out = checked_out(options, expected="images, a folder of them, or a prepared set")
  images = open_images(loaded, options)
  count, missing = write_features(images, loaded.encoder, out)
  print(f"features of {count} images, {images.transform}: {out}")
  if missing:
    print(left_out(missing))


@dataclasses.dataclass(frozen=True)
class Images:
  """Images that a user gives, see `encoded_inputs.Inputs`.

  Attributes:
    data: the files, or a split of a prepared set.
    transform: what is done to each image.
    batch_size: images that are encoded at once.
  """

  data: ImageFiles | RecordedPass
  transform: Resize
  batch_size: int
  kind: ClassVar[str] = "images"

  @property
  def num_examples(self) -> int:
    """The number of images."""
    return self.data.num_examples

  @property
  def part_size(self) -> int:
    """Images of a part: whole batches."""
    return self.batch_size * max(_PART // self.batch_size, 1)

  def identity(self) -> dict[str, Any]:
    """See `Inputs`."""
    reading = (getattr(self.data, "channels", None), getattr(self.data, "pixels", None))
    return {
      "input": self.data.identity(),
      "transform": str(self.transform),
      "batch_size": self.batch_size,
      "reading": str(reading),
    }

  def encoded(self, encoder: Encoder, start: int, count: int) -> Part:
    """See `Inputs`; as evaluations take features."""
    piece = self.data.piece(start, count)
    try:
      features = extract_features(encoder, piece).features
    except ValueError as error:
      if _names(piece)[0]:
        raise UserError(f"--workdir: {' '.join(str(error).split())}") from error
      features = np.empty((0, encoder.embed_dim), np.float32)  # none of them can be read
    return Part(features, *_names(piece))


def open_images(loaded: Loaded, options: argparse.Namespace) -> Images:
  """The images that a command line names, read as the run's evaluations read theirs.

  Args:
    loaded: the run that encodes them.
    options: the flags `input`, `data_dir`, `batch_size` and those of `add_flags`.

  Raises:
    UserError: for what is not there, or holds no image.
  """
  transform = _transform(loaded.config, options)
  data_dir = data_folder(options.data_dir or _data_of(loaded.config).get("data_dir"))
  inputs = list(options.input)
  dataset = find_dataset(inputs[0], data_dir) if len(inputs) == 1 else None
  if dataset is not None:
    return Images(_prepared(dataset, transform, options), transform, options.batch_size)
  paths, names = find_files(inputs)
  data = ImageFiles(
    paths=paths,
    names=names,
    transform=transform,
    channels=_channels(loaded),
    pixels=_pixels(loaded.config, data_dir),
    batch_size=min(options.batch_size, len(paths)),
  )
  return Images(data, transform, options.batch_size)


def _data_of(config: ConfigDict) -> Any:
  return config.get("data") or {}


def _transform(config: ConfigDict, options: argparse.Namespace) -> Resize:
  """The transform of the run's evaluations, or of its training data's size, or the encoder's."""
  found = next(_resizes(config.get("evals")), None)
  size = (_data_of(config).get("transform") or {}).get("size") or _own_size(config)
  if options.size is None and found is None and size is None:
    raise UserError("--size: found nothing, and the run has no evaluation of images")
  try:
    if options.size is not None or options.short_side is not None:
      usual = size if found is None else found.size
      return Resize(usual if options.size is None else options.size, options.short_side)
    return Resize(size) if found is None else found
  except ValueError as error:
    raise UserError(f"--{error}") from error


def _own_size(config: ConfigDict) -> int | None:
  """The size of images that the encoder was made for; None for oblong ones, or any."""
  objective = config.get("objective") or {}
  size = (objective.get("backbone") or objective.get("image") or {}).get("image_size")
  sides = {size} if isinstance(size, int) else set(size or ())
  return sides.pop() if len(sides) == 1 else None


def _resizes(config: Any) -> Iterator[Resize]:
  """Every transform of evaluations in a config."""
  if not isinstance(config, ConfigDict):
    return
  if config.get(TARGET) == f"{Resize.__module__}:{Resize.__qualname__}":
    yield build(config)
  for key in config:
    if key != TARGET:
      yield from _resizes(config[key])


def _channels(loaded: Loaded) -> int:
  found = getattr(loaded.encoder, "num_channels", None)
  backbone = loaded.config.get("objective", {}).get("backbone") or {}
  return found or backbone.get("num_channels") or 3


def _pixels(config: ConfigDict, data_dir: Path) -> Pixels:
  """As the images were understood that the run was trained on, where that is known."""
  name = _data_of(config).get("datasets")
  if not isinstance(name, str) or newest_version(name, data_dir) is None:
    return Pixels()
  pixels = noted_pixels(PreparedSplit(name, "train", data_dir))
  return Pixels() if pixels == UNNOTED else pixels


def _prepared(
  dataset: tuple[str, Path], transform: Resize, options: argparse.Namespace
) -> RecordedPass:
  name, data_dir = dataset
  return RecordedPass(
    ImageData(
      datasets=name,
      split=options.split,
      data_dir=str(data_dir),
      transform=transform,
      batch_size=options.batch_size,
      num_threads=os.cpu_count() or 1,
      max_bad_fraction=1.0,
    )
  )


def _names(data: ImageFiles | RecordedPass) -> tuple[list[str], list[str]]:
  """What the images with features are called, and those that could not be read."""
  if isinstance(data, RecordedPass):
    names = data.names()
    return names, ["a record"] * (data.num_examples - len(names))
  bad = data.unreadable
  missing = [f"{data.names[number]} ({bad[number]})" for number in sorted(bad)]
  return [name for number, name in enumerate(data.names) if number not in bad], missing

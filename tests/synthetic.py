"""Prepared datasets of the shapes that configs name, filled with noise: tests need no download."""

from pathlib import Path

import numpy as np

from pretrainjax.data.builders.base import CollectedBuilder
from pretrainjax.data.builders.collected import Collected, array_entries

# Name: (H, W, C) of the images and how many classes.
SHAPES = {
  "fashion_mnist": ((28, 28, 1), 10),
  "mnist": ((28, 28, 1), 10),
  "cifar10": ((32, 32, 3), 10),
  "imagenet2012": ((48, 64, 3), 1000),
}
# The smoke form of a config names no more examples than these.
SIZES = {"train": 512, "test": 64, "validation": 64}


def prepare(name: str, data_dir: Path, *, sizes: dict[str, int] = SIZES) -> None:
  """Writes DATA_DIR/NAME as tfds would find it, the same at every call.

  Args:
    name: one of SHAPES.
    data_dir: where datasets lie.
    sizes: examples by split.
  """
  shape, num_classes = SHAPES[name]
  rng = np.random.default_rng(0)
  splits = {}
  for split, count in sizes.items():
    images = rng.integers(0, 256, (count, *shape), np.uint8)
    splits[split] = array_entries(images, np.arange(count) % num_classes, prefix=split)
  classes = tuple(str(label) for label in range(num_classes))
  collected = Collected(splits, class_names=classes, image_shape=shape, origin="noise")

  # tfds names a dataset after its class.
  camel = "".join(part.capitalize() for part in name.split("_"))
  builder = type(camel, (CollectedBuilder,), {}, skip_registration=True)
  assert builder.name == name
  builder(collected=collected, data_dir=data_dir).download_and_prepare()

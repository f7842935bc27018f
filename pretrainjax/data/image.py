"""Host transforms of single images, in uint8: what is cheap per image and hard on a device.

Every transform is called with an image "H W C" and a NumPy generator that belongs to the one
example, so that its result does not depend on threads, processes or hosts.
"""

import dataclasses
import math
from typing import ClassVar

import cv2
import numpy as np

from pretrainjax.config.follow import Follows, Source, takes
from pretrainjax.ranges import (
  Fraction,
  NonNegativeInt,
  PositiveFloat,
  PositiveFraction,
  PositiveInt,
  check_ranges,
)

# What the size of a transform follows where a config leaves it open.
_SIZE: Follows = {
  "size": (
    Source("objective.backbone.image_size", holds="equal"),
    *takes("data.transform.size", "prepared.image_size"),
  )
}


def resize(image: np.ndarray, height: int, width: int, *, area_from: float = 2.0) -> np.ndarray:
  """Resizes an image of uint8 pixels "H W C".

  Args:
    image: pixels, "H W C", of any size.
    height: the height of the result.
    width: the width of the result.
    area_from: images that shrink by this factor or more are averaged by area, where linear would
      alias; linear is the faster one.
  """
  rows, columns = image.shape[:2]
  if (rows, columns) == (height, width):
    return image
  shrinks = rows >= area_from * height and columns >= area_from * width
  method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
  resized = cv2.resize(image, (width, height), interpolation=method)
  return resized if resized.ndim == 3 else resized[:, :, None]  # OpenCV drops a single channel


def mirrored(image: np.ndarray) -> np.ndarray:
  """The image with left and right exchanged."""
  # Copying a view of negative stride would cost 40 times as much.
  flipped = cv2.flip(image, 1)
  return flipped if flipped.ndim == 3 else flipped[:, :, None]  # OpenCV drops a single channel


@dataclasses.dataclass(frozen=True)
class Resize:
  """Scales the whole image to one size, for evaluation: resize the short side, cut the centre.

  Attributes:
    size: the size of the square that is returned.
    short_side: the short side before cutting; None is `size`. ImageNet's habit is 256 for 224.
  """

  size: PositiveInt
  short_side: PositiveInt | None = None

  follows: ClassVar[Follows] = _SIZE

  def __post_init__(self):
    check_ranges(self)
    if self.short_side is not None and self.short_side < self.size:
      raise ValueError(f"short_side={self.short_side}: expected at least size={self.size}")

  def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns "size size C"; `rng` is not used."""
    del rng
    height, width = image.shape[:2]
    scale = (self.short_side or self.size) / min(height, width)
    new_height, new_width = (max(self.size, round(side * scale)) for side in (height, width))
    # Seen once and compared with others' numbers: any shrinking is worth the better way.
    image = resize(image, new_height, new_width, area_from=1.0)
    top, left = ((side - self.size) // 2 for side in image.shape[:2])
    return image[top : top + self.size, left : left + self.size]


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
  """Crops a random part to one size and flips it at random (arXiv 1409.4842; as in torchvision).

  Attributes:
    size: the size of the square that is returned.
    scale: range of the part's area, as a share of the image.
    ratio: range of width / height, drawn evenly in its logarithm.
    flip: probability of mirroring left and right.
  """

  size: PositiveInt
  scale: tuple[PositiveFraction, PositiveFraction] = (0.08, 1.0)
  ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3)
  flip: Fraction = 0.5

  follows: ClassVar[Follows] = _SIZE

  def __post_init__(self):
    check_ranges(self)
    for name in ("scale", "ratio"):
      low, high = getattr(self, name)
      if low > high:
        raise ValueError(f"{name}=({low}, {high}): expected low <= high")

  def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns "size size C"."""
    top, left, height, width = self._box(*image.shape[:2], rng)
    part = resize(image[top : top + height, left : left + width], self.size, self.size)
    return mirrored(part) if rng.random() < self.flip else part

  def _box(self, rows: int, columns: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
    for _ in range(10):
      area = rows * columns * (self.scale[0] + rng.random() * (self.scale[1] - self.scale[0]))
      ratio = math.exp(low + rng.random() * (high - low))
      width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
      if 0 < width <= columns and 0 < height <= rows:
        top = int(rng.random() * (rows - height + 1))
        return top, int(rng.random() * (columns - width + 1)), height, width
    # No box fitted: the largest centred one of an allowed ratio.
    width = min(columns, max(1, round(rows * self.ratio[1])))
    height = min(rows, max(1, round(columns / self.ratio[0])))
    return (rows - height) // 2, (columns - width) // 2, height, width


@dataclasses.dataclass(frozen=True)
class PadCrop:
  """Shifts an image by a few pixels and flips it, as for CIFAR (arXiv 1512.03385, section 4.2).

  Attributes:
    size: the size of the square that is returned; the image is brought to it first.
    padding: black pixels on each side before cutting.
    flip: probability of mirroring left and right.
  """

  size: PositiveInt
  padding: NonNegativeInt = 4
  flip: Fraction = 0.5

  follows: ClassVar[Follows] = _SIZE

  def __post_init__(self):
    check_ranges(self)

  def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns "size size C"."""
    border = (self.padding, self.padding)
    padded = np.pad(resize(image, self.size, self.size), (border, border, (0, 0)))
    top, left = (int(rng.random() * (2 * self.padding + 1)) for _ in range(2))
    part = padded[top : top + self.size, left : left + self.size]
    return mirrored(part) if rng.random() < self.flip else part


Transform = Resize | RandomResizedCrop | PadCrop

"""Images that are larger than training needs are made smaller once, at prepare time."""

import dataclasses
from typing import Annotated

import numpy as np
import simplejpeg
from jaxtyping import UInt8

from pretrainjax.data.image import resize
from pretrainjax.prepare.image.example import png
from pretrainjax.ranges import PositiveInt, Range, check_ranges


@dataclasses.dataclass(frozen=True)
class Shrink:
  """Brings the longer side down to a number of pixels; smaller images stay the files they are.

  Attributes:
    longest_side: the longer side at most; None leaves all images as they are.
    quality: the quality of the JPEG that is written, 1 to 100; None writes a PNG, without loss.
  """

  longest_side: PositiveInt | None = None
  quality: Annotated[int, Range(1, 100)] | None = 92

  def __post_init__(self):
    check_ranges(self)

  def __call__(self, image: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "h w C"] | None:
    """The image made smaller, averaged by area; None for one that is small enough."""
    height, width = image.shape[:2]
    if self.longest_side is None or max(height, width) <= self.longest_side:
      return None
    scale = self.longest_side / max(height, width)
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)), area_from=1.0)

  def encoded(self, image: UInt8[np.ndarray, "H W C"]) -> bytes:
    """A small image as a file."""
    if self.quality is None:
      return png(image)
    is_grey = image.shape[2] == 1
    return simplejpeg.encode_jpeg(
      np.ascontiguousarray(image),
      quality=self.quality,
      colorspace="GRAY" if is_grey else "RGB",
      colorsubsampling="Gray" if is_grey else "420",
    )

"""Batches of images."""

import dataclasses

from pretrainjax.data.fields.image import ImageField
from pretrainjax.data.image import Transform
from pretrainjax.data.pipeline import Pipeline
from pretrainjax.ranges import PositiveInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageData(Pipeline):
  """Images of one dataset, or of several mixed: "image", uint8.

  Attributes:
    transform: the transform of each image, see `pretrainjax.data.image`.
    views: how often each image is transformed; above 1 gives "B V H W C".

  The others are those of `Pipeline`.
  """

  transform: Transform
  views: PositiveInt = 1

  def make_field(self) -> ImageField:
    """See `Pipeline`."""
    return ImageField(transform=self.transform, views=self.views)

  @property
  def image_shape(self) -> tuple[int | None, ...]:
    """(H, W, C) as prepared; None where images differ."""
    return self.sources[0].shape("image")

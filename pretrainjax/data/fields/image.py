"""Images, decoded and transformed."""

import dataclasses
import functools
from collections.abc import Mapping

import cv2
import numpy as np
import tensorflow_datasets as tfds

from pretrainjax.data.decode import decode
from pretrainjax.data.field import ArrayShape, Field, Place
from pretrainjax.data.image import Transform
from pretrainjax.data.pixels import UNNOTED, Pixels, pixels_of_json
from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.ranges import PositiveInt, check_ranges
from pretrainjax.types import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageField(Field):
  """A record's image file: "image", uint8.

  Attributes:
    transform: the transform of each image, see `pretrainjax.data.image`.
    views: how often each image is transformed; above 1 gives "V H W C".
  """

  transform: Transform
  views: PositiveInt = 1

  def __post_init__(self):
    check_ranges(self)

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    """See `Field`."""
    return ("image",) if self.views > 1 else ()

  def check(self) -> None:
    """See `Field`."""
    for source in self.sources:
      source.expect("image", tfds.features.Image)
    _ = self._pixels

  def settle(self) -> None:
    """See `Field`."""
    cv2.setNumThreads(0)  # our threads are enough; OpenCV's own would fight with them

  def unpack(self, source: PreparedSplit, fields: Fields) -> np.ndarray:
    """See `Field`; the image "H W C" in as many channels as all datasets have."""
    found = fields["image"].bytes_list.value
    if len(found) != 1:
      raise ValueError("has no image")
    try:
      return decode(found[0], channels=self._channels, pixels=self._pixels[source.name])
    except cv2.error as error:
      raise ValueError(str(error)) from error

  def arrays(self, record: np.ndarray, place: Place) -> dict[str, np.ndarray]:
    """See `Field`."""
    rng = place.rng()
    views = [self.transform(record, rng) for _ in range(self.views)]
    return {"image": views[0] if self.views == 1 else np.stack(views)}

  def shapes(self, sizes: Mapping[str, int]) -> dict[str, ArrayShape]:
    """See `Field`; the channels are "num_channels" of the network."""
    size, views = self.transform.size, () if self.views == 1 else (self.views,)
    shape = (*views, size, size, sizes.get("num_channels", 3))
    return {"image": ArrayShape(shape, np.uint8, high=256)}

  def count(self, batch: Batch) -> dict[str, int | float]:
    """See `Field`; each view is an image."""
    return {"images": len(batch["image"]) * self.views}

  @functools.cached_property
  def _channels(self) -> int:
    # Files may differ, the dataset does not.
    return max(1 if source.shape("image")[-1] == 1 else 3 for source in self.sources)

  @functools.cached_property
  def _pixels(self) -> dict[str, Pixels]:
    """How each dataset was prepared, by its name."""
    return {source.name: noted_pixels(source) for source in self.sources}


def noted_pixels(source: PreparedSplit) -> Pixels:
  """How the images of a prepared set are to be understood: as they were when it was prepared.

  Raises:
    UserError: for a note that makes no sense.
  """
  if not (source.folder / "prepared.json").is_file() or "pixels" not in source.prepared:
    return UNNOTED
  try:
    return pixels_of_json(source.prepared["pixels"])
  except ValueError as error:
    raise UserError(
      f"--{source.key}.datasets: prepared.json of '{source.name}': {error}"
    ) from error

"""Batches of images."""

import dataclasses
import functools

import cv2
import numpy as np
import tensorflow_datasets as tfds

from pretrainjax.data.image import Transform, decode
from pretrainjax.data.pipeline import Pipeline
from pretrainjax.data.source import Fields, Source
from pretrainjax.types import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageData(Pipeline):
  """Images of one dataset, or of several mixed: "image", uint8.

  Attributes:
    transform: of each image, see `pretrainjax.data.image`.
    views: how often each image is transformed; above 1 gives "B V H W C".

  The others are those of `Pipeline`.
  """

  transform: Transform
  views: int = 1

  def __post_init__(self):
    super().__post_init__()
    if self.views < 1:
      raise ValueError(f"views={self.views}: expected at least 1")

  @property
  def image_shape(self) -> tuple[int | None, ...]:
    """(H, W, C) as prepared; None where images differ."""
    return self.sources[0].shape("image")

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    """See `Pipeline`."""
    return ("image",) if self.views > 1 else ()

  def count(self, batch: Batch) -> dict[str, int | float]:
    """See `Pipeline`; each view is an image."""
    return {"images": len(batch["image"]) * self.views}

  def check(self, sources: tuple[Source, ...]) -> None:
    """See `Pipeline`."""
    for source in sources:
      source.expect("image", tfds.features.Image)

  def settle(self) -> None:
    """See `Pipeline`."""
    cv2.setNumThreads(0)  # our threads are enough; OpenCV's own would fight with them

  def unpacked(self, source: Source, fields: Fields) -> np.ndarray:
    """See `Pipeline`; the image "H W C" in as many channels as all datasets have."""
    del source
    found = fields["image"].bytes_list.value
    if len(found) != 1:
      raise ValueError("has no image")
    try:
      return decode(found[0], channels=self._channels)
    except cv2.error as error:
      raise ValueError(str(error)) from error

  def example(
    self, record: np.ndarray, *, piece: int, seed: int, position: int
  ) -> dict[str, np.ndarray]:
    """See `Pipeline`."""
    del piece
    rng = np.random.Generator(np.random.Philox(key=(seed << 64) | position))
    views = [self.transform(record, rng) for _ in range(self.views)]
    return {"image": views[0] if self.views == 1 else np.stack(views)}

  @functools.cached_property
  def _channels(self) -> int:
    # Files may differ, the dataset does not.
    return max(1 if source.shape("image")[-1] == 1 else 3 for source in self.sources)

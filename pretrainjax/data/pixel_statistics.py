"""Mean and standard deviation of the pixels of many images, and their sizes."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

# The images that are looked at, evenly spaced; all of most sets.
MOST = 60_000
_DIGITS = 4
_AT_ONCE = 512


class PixelStatistics(NamedTuple):
  """Of pixels / 255, one value a channel, rounded to four digits.

  Attributes:
    mean: the mean of all pixels.
    std: the standard deviation; at least 0.001, since pixels are divided by it.
    smallest: the least height and the least width.
    largest: the largest height and the largest width.
    num_images: the number of images that were measured.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  smallest: tuple[int, int]
  largest: tuple[int, int]
  num_images: int


def measured_rows(count: int) -> Int[np.ndarray, " S"]:
  """Which of so many images are measured, the same every time."""
  return np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(np.int64))


def pixel_statistics(
  items: Iterable[Any], unpack: Callable[[Any], UInt8[np.ndarray, "H W C"] | None]
) -> PixelStatistics | None:
  """Measures images; each pixel counts the same, so that a large image counts more.

  Args:
    items: what `unpack` takes.
    unpack: makes an image of an item, None for one that cannot be unpacked; called by threads.

  Returns:
    The statistics; None where there is no image.
  """
  total: _Sums | None = None
  with ThreadPoolExecutor(os.cpu_count()) as pool:
    for batch in _batches(items):
      for found in pool.map(lambda item: _sums(unpack(item)), batch):
        total = found if total is None else total if found is None else total.joined(found)
  if total is None:
    return None
  mean = total.sums / total.pixels / 255
  std = np.sqrt(np.maximum(total.squares / total.pixels / 255**2 - mean**2, 0))
  sides = (total.smallest, total.largest)
  return PixelStatistics(_rounded(mean), _rounded(np.maximum(std, 1e-3)), *sides, total.images)


class _Sums(NamedTuple):
  """Counts and sums over some images; of pixels and their squares by channel."""

  images: int
  pixels: int
  sums: Int[np.ndarray, " C"]
  squares: Int[np.ndarray, " C"]
  smallest: tuple[int, int]
  largest: tuple[int, int]

  def joined(self, other: "_Sums") -> "_Sums":
    """Those of both."""
    return _Sums(
      *(a + b for a, b in zip(self[:4], other[:4], strict=True)),
      *(
        tuple(map(choose, a, b))
        for choose, a, b in zip((min, max), self[4:], other[4:], strict=True)
      ),
    )


def _sums(image: np.ndarray | None) -> _Sums | None:
  if image is None:
    return None
  height, width, channels = image.shape
  flat = image.reshape(-1, channels).astype(np.int64)  # H W C -> P C
  sizes = (height, width), (height, width)
  return _Sums(1, len(flat), flat.sum(axis=0), (flat * flat).sum(axis=0), *sizes)


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
  """Some items at once, so that threads do not run ahead of the sums."""
  remaining = iter(items)
  while batch := list(itertools.islice(remaining, _AT_ONCE)):
    yield batch


def _rounded(values: np.ndarray) -> tuple[float, ...]:
  return tuple(round(float(value), _DIGITS) for value in values)

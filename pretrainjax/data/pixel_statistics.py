"""Mean and standard deviation of the pixels of many images, as networks are told them."""

import os
from collections.abc import Callable, Iterable, Sequence
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
    mean: the mean.
    std: the standard deviation; at least 0.001, since pixels are divided by it.
    num_images: the number of images that were measured.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
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
  number = pixels = 0
  sums = squares = np.zeros(0)
  batch: list[Any] = []
  with ThreadPoolExecutor(os.cpu_count()) as pool:

    def measure(batch: Sequence[Any]) -> None:
      nonlocal number, pixels, sums, squares
      for found in pool.map(lambda item: _sums(unpack(item)), batch):
        if found is not None:
          number, pixels = number + 1, pixels + found[0]
          sums = found[1] + (sums if len(sums) else 0)
          squares = found[2] + (squares if len(squares) else 0)

    for item in items:
      batch.append(item)
      if len(batch) == _AT_ONCE:
        measure(batch)
        batch = []
    measure(batch)
  if not number:
    return None
  mean = sums / pixels / 255
  std = np.sqrt(np.maximum(squares / pixels / 255**2 - mean**2, 0))
  return PixelStatistics(_rounded(mean), _rounded(np.maximum(std, 1e-3)), number)


def _sums(image: np.ndarray | None) -> tuple[int, np.ndarray, np.ndarray] | None:
  """How many pixels an image has, and the sums of them and their squares by channel."""
  if image is None:
    return None
  flat = image.reshape(-1, image.shape[-1]).astype(np.int64)  # H W C -> P C
  return len(flat), flat.sum(axis=0), (flat * flat).sum(axis=0)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
  return tuple(round(float(value), _DIGITS) for value in values)

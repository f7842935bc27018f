"""Image files are read and unpacked to see whether they can be, several at a time."""

import collections
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2

from pretrainjax.data.decode import MAX_BYTES, decode
from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.image.example import Image, pixel_digest

_NOT_DECODABLE, _TOO_LARGE, _TOO_SMALL = "not decodable", "too large", "too small"
_FILES, _BYTES = 64, 1 << 22  # of a task


class ImageFile(NamedTuple):
  """One file to be looked at.

  Attributes:
    path: where it is.
    size: number of bytes.
    key: the key of the example.
    label: likewise.
    split: likewise.
  """

  path: Path
  size: int
  key: str
  label: str | None
  split: str


def examined(
  items: Iterable[ImageFile | Unreadable], *, min_pixels: int, pool: ThreadPoolExecutor
) -> Iterator[Image | Unreadable]:
  """Each file as an image, or what is wrong with it, in order.

  Args:
    items: files; what is unreadable stays as it is.
    min_pixels: the shorter side of what is kept.
    pool: what looks at them; only a few files a thread are in memory.
  """
  running: collections.deque[Future[list[Image | Unreadable]]] = collections.deque()
  for batch in _batches(items):
    running.append(pool.submit(lambda batch: [_looked_at(i, min_pixels) for i in batch], batch))
    if len(running) > 2 * (os.cpu_count() or 1):
      yield from running.popleft().result()
  while running:
    yield from running.popleft().result()


def _batches(
  items: Iterable[ImageFile | Unreadable],
) -> Iterator[list[ImageFile | Unreadable]]:
  """Some files, or one large one."""
  batch: list[ImageFile | Unreadable] = []
  size = 0
  for item in items:
    batch.append(item)
    size += item.size if isinstance(item, ImageFile) else 0
    if len(batch) >= _FILES or size >= _BYTES:
      yield batch
      batch, size = [], 0
  if batch:
    yield batch


def _looked_at(item: ImageFile | Unreadable, min_pixels: int) -> Image | Unreadable:
  if isinstance(item, Unreadable):
    return item
  if item.size > MAX_BYTES:
    return Unreadable(item.key, _TOO_LARGE)
  try:
    data = item.path.read_bytes()
    image = decode(data)
  except (OSError, ValueError, cv2.error) as error:
    reason = _TOO_LARGE if "pixels: more than" in str(error) else _NOT_DECODABLE
    return Unreadable(item.key, reason)
  if min(image.shape[:2]) < min_pixels:
    return Unreadable(item.key, _TOO_SMALL, fault=False)
  shape = (None, None, image.shape[2])
  return Image(item.key, data, item.label, item.split, shape, pixel_digest(image))

"""Image files are unpacked, several at a time, to see whether they can be and what they hold."""

import collections
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2

from pretrainjax.data.decode import MAX_BYTES, READABLE, decode_whole
from pretrainjax.data.image_header import format_of
from pretrainjax.data.pixels import Finished, Pixels
from pretrainjax.prepare.contract import Remark, Unreadable
from pretrainjax.prepare.image.example import Image, pixel_digest
from pretrainjax.prepare.image.shrink import Shrink
from pretrainjax.untrusted import BadFile, read_bytes

TURNED, TRANSPARENT = "turned upright as EXIF says", "transparent, laid on the background"
ONE_COLOUR, FEW_LEVELS = "nearly one colour", "more than 8 bits, of which few levels are left"
_NOT_DECODABLE, _TOO_LARGE, _TOO_SMALL = "not decodable", "too large", "too small"
_NO_RANGE = "floating-point pixels, which need --config.source.pixels.value_range"
_FILES, _BYTES = 64, 1 << 22  # of a task
# Deviations below this, of 255, are nearly one colour, by so many rows and columns of the image.
_NEARLY, _SAMPLED = 2.0, 256
_FEW = 16  # levels; 12 bits in 16 leave so many


class Look(NamedTuple):
  """What is asked of a file.

  Attributes:
    min_pixels: the shorter side of what is kept.
    pixels: how to understand its pixels.
    shrink: what is done to larger ones.
  """

  min_pixels: int = 1
  pixels: Pixels = Pixels()
  shrink: Shrink = Shrink()


class ImageFile(NamedTuple):
  """An image file that is to be examined.

  Attributes:
    path: the path of the file.
    size: the number of its bytes.
    key: the key of the example.
    label: the name of its class; None without one.
    split: the name of its split.
  """

  path: Path
  size: int
  key: str
  label: str | None
  split: str


def examined(
  items: Iterable[ImageFile | Unreadable], *, look: Look, pool: ThreadPoolExecutor
) -> Iterator[Image | Unreadable]:
  """Yields each file as an image, or what is wrong with it, in order.

  Args:
    items: files; what is unreadable stays as it is.
    look: what is asked of each.
    pool: what looks at them; only a few files a thread are in memory.
  """
  running: collections.deque[Future[list[Image | Unreadable]]] = collections.deque()
  for batch in _batches(items):
    running.append(pool.submit(lambda batch: [_looked_at(i, look) for i in batch], batch))
    if len(running) > 2 * (os.cpu_count() or 1):
      yield from running.popleft().result()
  while running:
    yield from running.popleft().result()


def _batches(
  items: Iterable[ImageFile | Unreadable],
) -> Iterator[list[ImageFile | Unreadable]]:
  """Batches of some files, or of one large one."""
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


def _looked_at(item: ImageFile | Unreadable, look: Look) -> Image | Unreadable:
  if isinstance(item, Unreadable):
    return item
  if item.size > MAX_BYTES:
    return Unreadable(item.key, _TOO_LARGE)
  data = b""
  try:
    data = read_bytes(item.path, limit=MAX_BYTES)
    found = decode_whole(data, pixels=look.pixels)
  except (BadFile, ValueError, cv2.error) as error:
    return Unreadable(item.key, _why(data, str(error)))
  image, remarks = found.image, tuple(_remarks(found))
  if min(image.shape[:2]) < look.min_pixels:
    return Unreadable(item.key, _TOO_SMALL, fault=False)
  size_before = None
  small = look.shrink(image)
  if small is not None:
    image, size_before = small, len(data)
    data = look.shrink.encoded(small)
  shape = (None, None, image.shape[2])
  digest = pixel_digest(image)
  return Image(item.key, data, item.label, item.split, shape, digest, remarks, size_before)


def _why(data: bytes, message: str) -> str:
  """Why a file cannot be taken, in words that can be counted."""
  kind = format_of(data)
  if kind is not None and kind not in READABLE:
    return f"format that is not read: {kind}"
  if "floating-point" in message:
    return _NO_RANGE
  is_large = any(words in message for words in ("more than", "cannot hold", "decompression bomb"))
  return _TOO_LARGE if is_large else _NOT_DECODABLE


def _remarks(found: Finished) -> Iterator[Remark]:
  if found.is_turned:
    yield Remark(TURNED)
  if found.is_transparent:
    yield Remark(TRANSPARENT)
  wide = found.wide
  if wide is not None and wide.levels_left <= _FEW < wide.levels:
    yield Remark(FEW_LEVELS, wide.highest)
  steps = tuple(slice(None, None, -(-side // _SAMPLED)) for side in found.image.shape[:2])
  if float(found.image[steps].std(axis=(0, 1)).max()) < _NEARLY:
    yield Remark(ONE_COLOUR)

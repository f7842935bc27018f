"""Image files to pixels: "H W C", uint8, grey or RGB. No header is believed."""

import contextlib
import io
from collections.abc import Callable

import cv2
import numpy as np
import PIL.Image
import simplejpeg
from jaxtyping import UInt8

from pretrainjax.data.image_header import format_of, webp_size
from pretrainjax.data.memory_budget import MemoryBudget
from pretrainjax.data.orientation import (
  ORIENTATION,
  exif_of_jpeg,
  exif_of_png,
  orientation_of,
  upright,
)
from pretrainjax.data.pixels import Finished, Pixels, finish

# Larger pictures are refused: a small file can unpack to all of the memory.
MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 28
# Pillow knows many more, some of which start other programs (EPS) or have seen no malice yet.
READABLE = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
# What deflate can shrink a row of zeros to, at most; and the pixels of a block of 8 x 8, which
# takes a JPEG one bit at least.
_DEFLATE, _JPEG_PIXELS_A_BYTE = 1032, 8 * 64
# The other formats can say "all white" in a few bytes. So many pixels are believed of any file, and
# so many more for each byte.
_FREE_PIXELS, _PIXELS_A_BYTE = 1 << 24, 1024
# Each scan of a progressive JPEG goes over the whole picture. Encoders write about ten.
_MAX_SCANS = 100
# What a pixel takes while it is unpacked, with all copies: coefficients of a progressive JPEG, 16
# bits with alpha, two canvases of an animated WebP.
_JPEG_BYTES, _PNG_BYTES, _OTHER_BYTES = 9, 16, 24
# Of all threads of this process, whatever they read for.
_MEMORY = MemoryBudget(1 << 30)


def decode(
  data: bytes, *, channels: int | None = None, pixels: Pixels | None = None
) -> UInt8[np.ndarray, "H W C"]:
  """Unpacks an image file to uint8.

  JPEG goes through simplejpeg, PNG through OpenCV, the rest (WebP, AVIF, BMP, GIF, TIFF, PPM) and
  what those refuse through Pillow. A header is not believed: a few bytes that claim many pixels are
  refused before memory is taken, and threads wait for one another where all would take too much.

  Args:
    data: the file's bytes.
    channels: 1 or 3; None gives 1 for grey files, else 3.
    pixels: what becomes of rotation, transparency and more than 8 bits; None is `Pixels()`.

  Raises:
    ValueError: for data that is no image, is cut short or too large.
  """
  image = decode_whole(data, pixels=pixels or Pixels()).image
  if channels is None or image.shape[2] == channels:
    return image
  if channels == 3:  # photo collections hold a few grey files
    return np.repeat(image, 3, axis=2)
  return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]


def decode_whole(data: bytes, *, pixels: Pixels) -> Finished:
  """Unpacks a file as `decode` does, and says what was done.

  Raises:
    ValueError: see there.
  """
  if len(data) > MAX_BYTES:
    raise ValueError(f"{len(data)} bytes: more than {MAX_BYTES}")
  kind = format_of(data)
  if kind == "JPEG":
    # Pillow knows CMYK, and is patient with stray bytes, but not with a file cut short.
    with contextlib.suppress(ValueError):
      return _decode_jpeg(data, pixels)
  if kind == "PNG" and len(data) > 26:
    found = _decode_png(data, pixels)
    if found is not None:
      return found
  if kind == "WEBP":
    _check_claim(data, *webp_size(data))
  return _decode_pillow(data, pixels)


def _decode_jpeg(data: bytes, pixels: Pixels) -> Finished:
  height, width, space, _ = simplejpeg.decode_jpeg_header(data)
  _check_size(height, width)
  if space in ("CMYK", "YCCK"):
    raise ValueError(f"{space} is for Pillow")
  _check_jpeg(data, height, width)
  with _MEMORY.held(height * width * _JPEG_BYTES):
    image = simplejpeg.decode_jpeg(data, "GRAY" if space.upper() == "GRAY" else "RGB")
    return finish(image, orientation=orientation_of(exif_of_jpeg(data)), pixels=pixels)


def _check_jpeg(data: bytes, height: int, width: int) -> None:
  if height * width > _JPEG_PIXELS_A_BYTE * len(data):
    raise _cannot_hold(data, height, width)
  if (scans := data.count(b"\xff\xda")) > _MAX_SCANS:
    raise ValueError(f"{scans} scans: more than {_MAX_SCANS}")


def _chunks_of_png(data: bytes) -> list[bytes] | None:
  """The kinds of its chunks; None where they do not follow one another to the last: OpenCV makes
  room for whatever they claim.
  """
  start, kinds = 8, []
  while start + 12 <= len(data):
    kinds.append(data[start + 4 : start + 8])
    if kinds[-1] == b"IEND":
      return kinds
    start += 12 + int.from_bytes(data[start : start + 4], "big")
  return None


def _decode_png(data: bytes, pixels: Pixels) -> Finished | None:
  """The image, None where OpenCV does not take it."""
  width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
  _check_size(height, width)
  depth, kind = data[24], data[25]
  bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(kind, 1)
  if height * (1 + width * bits // 8) > _DEFLATE * len(data):
    raise _cannot_hold(data, height, width)
  chunks = _chunks_of_png(data)
  has_alpha = kind in (4, 6) and pixels.background is not None
  if chunks is None or (b"tRNS" in chunks and pixels.background is not None):
    return None  # Pillow knows the one colour of a file that is transparent
  is_grey = kind in (0, 4)
  # As it is, with alpha, or without.
  flag = cv2.IMREAD_GRAYSCALE if is_grey else cv2.IMREAD_COLOR
  flag |= cv2.IMREAD_IGNORE_ORIENTATION | (cv2.IMREAD_ANYDEPTH if depth == 16 else 0)
  with _MEMORY.held(height * width * _PNG_BYTES):
    flag = cv2.IMREAD_UNCHANGED if has_alpha else flag
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if image is None:
      return None
    values = _from_bgr(image, is_grey=is_grey)
    return finish(values, orientation=orientation_of(exif_of_png(data)), pixels=pixels)


def _from_bgr(image: np.ndarray, *, is_grey: bool) -> np.ndarray:
  """OpenCV's order of channels to ours; it spreads grey with alpha over four."""
  if image.ndim == 2:
    return image[:, :, None]
  if is_grey:
    return image[:, :, [0, 3]]
  order = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
  return cv2.cvtColor(image, order)


def _decode_pillow(data: bytes, pixels: Pixels) -> Finished:
  try:
    with PIL.Image.open(io.BytesIO(data), formats=READABLE) as image:
      _check_claim(data, image.height, image.width)
      if image.format == "JPEG":
        _check_jpeg(data, image.height, image.width)
      with _MEMORY.held(image.height * image.width * _OTHER_BYTES):
        orientation = _noted_orientation(image, data)
        values = _values(image, has_alpha=pixels.background is not None)
        if image.format == "TIFF":  # which Pillow has turned upright already
          values = _turned_back(values, orientation)
        return finish(values, orientation=orientation, pixels=pixels)
  except PIL.UnidentifiedImageError as error:  # its message names an object in memory
    raise ValueError("no image of a known format, or cut short") from error
  except ValueError:
    raise
  except Exception as error:  # readers raise many kinds, and warnings where those are errors
    raise ValueError(f"no readable image ({error})") from error


def _noted_orientation(image: PIL.Image.Image, data: bytes) -> int:
  if image.format == "TIFF":  # its tags are the picture's own
    found = image.getexif().get(ORIENTATION, 1)
    return found if found in range(1, 9) else 1
  read: Callable[[bytes], bytes] | None = {"JPEG": exif_of_jpeg, "PNG": exif_of_png}.get(
    image.format or ""
  )
  exif = read(data) if read is not None else image.info.get("exif", b"")
  return orientation_of(exif if isinstance(exif, bytes) else b"")


def _turned_back(values: np.ndarray, orientation: int) -> np.ndarray:
  """What lay in the file of a picture that is upright: quarters are turned the other way."""
  return upright(values, {6: 8, 8: 6}.get(orientation, orientation))


def _values(image: PIL.Image.Image, *, has_alpha: bool) -> np.ndarray:
  """The numbers of a file, "H W C": of more than 8 bits as they are, else grey or RGB."""
  if image.mode.startswith(("I", "F")):
    return np.asarray(image)[:, :, None]
  is_grey = image.mode in ("1", "L", "LA")
  mode = "L" if is_grey else "RGB"
  if has_alpha and image.has_transparency_data:
    mode = "LA" if is_grey else "RGBA"
  values = np.asarray(image if image.mode == mode else image.convert(mode))
  return values[:, :, None] if mode == "L" else values


def _check_claim(data: bytes, height: int, width: int) -> None:
  _check_size(height, width)
  if height * width > _FREE_PIXELS + _PIXELS_A_BYTE * len(data):
    raise _cannot_hold(data, height, width)


def _check_size(height: int, width: int) -> None:
  if height * width > MAX_PIXELS:
    raise ValueError(f"{width} x {height} pixels: more than {MAX_PIXELS}")


def _cannot_hold(data: bytes, height: int, width: int) -> ValueError:
  return ValueError(f"{len(data)} bytes cannot hold {width} x {height} pixels")

"""Host transforms of single images, in uint8: what is cheap per image and hard on a device.

Every transform is called with an image "H W C" and a NumPy generator that belongs to the one
example, so that its result does not depend on threads, processes or hosts.
"""

import contextlib
import dataclasses
import io
import math

import cv2
import numpy as np
import PIL.Image
import simplejpeg
from jaxtyping import UInt8

from pretrainjax.ranges import (
  Fraction,
  NonNegativeInt,
  PositiveFloat,
  PositiveFraction,
  PositiveInt,
  check_ranges,
)

# Larger pictures are refused: a small file can unpack to all of the memory.
MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 28
# Pillow knows many more, some of which start other programs (EPS) or have seen no malice yet.
_PILLOW = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# What deflate can shrink a row of zeros to, at most; and the pixels of a block of 8 x 8, which
# takes a JPEG one bit at least.
_DEFLATE, _JPEG_PIXELS_A_BYTE = 1032, 8 * 64
# Each scan of a progressive JPEG goes over the whole picture. Encoders write about ten.
_MAX_SCANS = 100


def decode(data: bytes, *, channels: int | None = None) -> UInt8[np.ndarray, "H W C"]:
  """Unpacks an image file to uint8; alpha is dropped.

  JPEG goes through simplejpeg, PNG through OpenCV, the rest (WebP, BMP, GIF, TIFF, PPM) and what
  those refuse through Pillow. A header is not believed: a few bytes that claim many pixels are
  refused before memory is taken.
  The rotation that a camera noted (EXIF) is ignored, as tfds and torchvision do.

  Args:
    data: the file's bytes.
    channels: 1 or 3; None gives 1 for grey files, else 3.

  Raises:
    ValueError: for data that is no image, is cut short or too large.
  """
  image = _decoded(data)
  if channels is None or image.shape[2] == channels:
    return image
  if channels == 3:  # photo collections hold a few grey files
    return np.repeat(image, 3, axis=2)
  return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]


def _decoded(data: bytes) -> np.ndarray:
  if len(data) > MAX_BYTES:
    raise ValueError(f"{len(data)} bytes: more than {MAX_BYTES}")
  if data[:3] == b"\xff\xd8\xff":
    # Pillow knows CMYK, and is patient with stray bytes, but not with a file cut short.
    with contextlib.suppress(ValueError):
      return _decode_jpeg(data)
  if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 26:
    image = _decode_png(data)
    if image is not None:
      return image
  return _decode_pillow(data)


def _decode_jpeg(data: bytes) -> np.ndarray:
  height, width, space, _ = simplejpeg.decode_jpeg_header(data)
  _check_size(height, width)
  if space in ("CMYK", "YCCK"):
    raise ValueError(f"{space} is for Pillow")
  _check_jpeg(data, height, width)
  return simplejpeg.decode_jpeg(data, "GRAY" if space.upper() == "GRAY" else "RGB")


def _check_jpeg(data: bytes, height: int, width: int) -> None:
  if height * width > _JPEG_PIXELS_A_BYTE * len(data):
    raise ValueError(f"{len(data)} bytes cannot hold {width} x {height} pixels")
  if (scans := data.count(b"\xff\xda")) > _MAX_SCANS:
    raise ValueError(f"{scans} scans: more than {_MAX_SCANS}")


def _is_whole_png(data: bytes) -> bool:
  """Whether chunks follow one another to the last; OpenCV makes room for whatever they claim."""
  start = 8
  while start + 12 <= len(data):
    if data[start + 4 : start + 8] == b"IEND":
      return True
    start += 12 + int.from_bytes(data[start : start + 4], "big")
  return False


def _decode_png(data: bytes) -> np.ndarray | None:
  """The image, None where OpenCV does not take it."""
  width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
  _check_size(height, width)
  bits = data[24] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(data[25], 1)
  if height * (1 + width * bits // 8) > _DEFLATE * len(data):
    raise ValueError(f"{len(data)} bytes cannot hold {width} x {height} pixels")
  if not _is_whole_png(data):
    return None
  grey = data[25] in (0, 4)
  flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
  image = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
  if image is None:
    return None
  return image[:, :, None] if grey else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_pillow(data: bytes) -> np.ndarray:
  try:
    with PIL.Image.open(io.BytesIO(data), formats=_PILLOW) as image:
      _check_size(image.height, image.width)
      if image.format == "JPEG":
        _check_jpeg(data, image.height, image.width)
      if image.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range")
      if image.mode.startswith("I"):  # 16 bits, of which Pillow's own conversion cuts off all > 255
        return (np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8)[:, :, None]
      mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
      pixels = np.asarray(image.convert(mode))
  except PIL.UnidentifiedImageError as error:  # its message names an object in memory
    raise ValueError("no image of a known format, or cut short") from error
  except ValueError:
    raise
  except Exception as error:  # readers raise many kinds, and warnings where those are errors
    raise ValueError(f"no readable image ({error})") from error
  return pixels[:, :, None] if mode == "L" else pixels


def _check_size(height: int, width: int) -> None:
  if height * width > MAX_PIXELS:
    raise ValueError(f"{width} x {height} pixels: more than {MAX_PIXELS}")


def resize(image: np.ndarray, height: int, width: int, *, area_from: float = 2.0) -> np.ndarray:
  """Resizes uint8 "H W C".

  Args:
    image: the image.
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
  """The whole image at one size, for evaluation: resize the short side, cut the centre.

  Attributes:
    size: the size of the square that is returned.
    short_side: the short side before cutting; None is `size`. ImageNet's habit is 256 for 224.
  """

  size: PositiveInt
  short_side: PositiveInt | None = None

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
  """A random part at one size, flipped at random (arXiv 1409.4842; torchvision's algorithm).

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
  """A shift by a few pixels and a flip, the habit of CIFAR (arXiv 1512.03385, section 4.2).

  Attributes:
    size: the size of the square that is returned; the image is brought to it first.
    padding: black pixels on each side before cutting.
    flip: probability of mirroring left and right.
  """

  size: PositiveInt
  padding: NonNegativeInt = 4
  flip: Fraction = 0.5

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

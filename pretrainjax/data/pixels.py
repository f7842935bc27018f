"""From the numbers of an image file to 8 bits of grey or RGB: range, transparency, rotation."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from pretrainjax.data.orientation import upright
from pretrainjax.ranges import Range, check_ranges

Byte = Annotated[int, Range(0, 255)]
Level = Annotated[int, Range()] | Annotated[float, Range()]

_STRIP = 1 << 20  # pixels that are computed at once: they take up to 30 bytes each on the way
_SAMPLED = 64  # rows and columns that are looked at for what is left of many levels


@dataclasses.dataclass(frozen=True)
class Pixels:
  """How the pixels of a file are understood, where it says more than 8 bits of grey or RGB.

  Attributes:
    rotate: whether pictures are turned upright as their camera noted (EXIF), in every format alike.
    background: the RGB colour, 0 to 255, behind transparent pixels; None drops their transparency,
      and shows what the file holds under it.
    value_range: the values that become 0 and 255 in files of more than 8 bits, such as (0, 4095)
      for 12 bits; None takes 16 bits as all of 0 to 65535, and refuses floating-point numbers.
  """

  rotate: bool = True
  background: tuple[Byte, Byte, Byte] | None = (255, 255, 255)
  value_range: tuple[Level, Level] | None = None

  def __post_init__(self):
    check_ranges(self)
    if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
      raise ValueError(f"value_range={self.value_range}: expected two numbers, low < high")


# What sets were prepared and read by that note nothing of their pixels, tfds's own among them.
UNNOTED = Pixels(rotate=False, background=None)


def pixels_of_json(found: Any) -> Pixels:
  """The pixels that a prepared set notes, as `dataclasses.asdict` made them before JSON did.

  Raises:
    ValueError: for anything else.
  """
  names = {field.name for field in dataclasses.fields(Pixels)}
  if not isinstance(found, dict) or set(found) != names or type(found["rotate"]) is not bool:
    raise ValueError(f"found pixels={found!r}, expected {', '.join(sorted(names))}")
  return Pixels(
    rotate=found["rotate"],
    background=_numbers(found, "background", 3, int),
    value_range=_numbers(found, "value_range", 2, int, float),
  )


def _numbers(found: dict[str, Any], name: str, count: int, *kinds: type) -> Any:
  values = found[name]
  if values is None:
    return None
  is_list = isinstance(values, list) and len(values) == count
  if not is_list or any(type(value) not in kinds for value in values):
    raise ValueError(f"found {name}={values!r}, expected {count} numbers")
  return tuple(values)


class Wide(NamedTuple):
  """What became of more than 8 bits, by a sample of the pixels.

  Attributes:
    levels: how many values there were.
    levels_left: how many there are in 8 bits.
    highest: the highest value in the whole file.
  """

  levels: int
  levels_left: int
  highest: float


class Finished(NamedTuple):
  """An image of 8 bits, and what was done for that.

  Attributes:
    image: grey or RGB, upright.
    is_turned: whether a noted rotation was applied.
    is_transparent: whether pixels were put on the background.
    wide: of files of more than 8 bits.
  """

  image: UInt8[np.ndarray, "H W C"]
  is_turned: bool
  is_transparent: bool
  wide: Wide | None


def finish(values: np.ndarray, *, orientation: int, pixels: Pixels) -> Finished:
  """Makes 8 bits of grey or RGB of what a file holds.

  Args:
    values: "H W C", numbers of any kind; the last of 2 or 4 channels is alpha.
    orientation: as noted in the file, see `orientation.upright`.
    pixels: how to understand them.

  Raises:
    ValueError: for floating-point numbers without a range.
  """
  num_colours = values.shape[2] - 1 + values.shape[2] % 2
  colours, alpha = values[:, :, :num_colours], values[:, :, num_colours:]
  image, wide = colours, None
  if values.dtype != np.uint8:
    image = _narrowed(colours, pixels.value_range)
    wide = _wide(colours, image)
    alpha = _narrowed(alpha, None) if alpha.size else alpha
  is_transparent = pixels.background is not None and alpha.size > 0 and int(alpha.min()) < 255
  if is_transparent:
    image = _on_background(image, alpha, pixels.background or ())
  is_turned = pixels.rotate and orientation != 1
  image = upright(image, orientation) if is_turned else np.ascontiguousarray(image)
  return Finished(image, is_turned, is_transparent, wide)


def _narrowed(values: np.ndarray, value_range: tuple[Level, Level] | None) -> np.ndarray:
  if value_range is None and values.dtype.kind == "f":
    raise ValueError("pixels are floating-point numbers of unknown range")
  narrow = np.empty(values.shape, np.uint8)
  for rows in _strips(values):
    if value_range is None:
      narrow[rows] = np.clip(values[rows], 0, 65535) >> 8
      continue
    low, high = value_range
    share = (values[rows].astype(np.float64) - low) / (high - low)
    narrow[rows] = np.rint(np.clip(np.nan_to_num(share), 0, 1) * 255)
  return narrow


def _wide(values: np.ndarray, narrow: np.ndarray) -> Wide:
  steps = tuple(slice(None, None, -(-side // _SAMPLED)) for side in values.shape[:2])
  levels, left = (len(np.unique(array[steps])) for array in (values, narrow))
  return Wide(levels, left, float(np.nanmax(values)) if values.size else 0.0)


def _on_background(image: np.ndarray, alpha: np.ndarray, background: tuple[int, ...]) -> np.ndarray:
  """The picture laid on one colour; grey stays grey on grey."""
  is_grey = image.shape[2] == 1 and len(set(background)) == 1
  behind = np.asarray(background[:1] if is_grey else background, np.uint16)[None, None]
  on = np.empty((*image.shape[:2], behind.shape[-1]), np.uint8)
  for rows in _strips(image):
    opaque = alpha[rows].astype(np.uint16)
    on[rows] = (image[rows] * opaque + behind * (255 - opaque) + 127) // 255
  return on


def _strips(values: np.ndarray) -> Iterator[slice]:
  height = max(_STRIP // max(values.shape[1], 1), 1)
  return (slice(top, top + height) for top in range(0, values.shape[0], height))

"""The rotation that a camera noted beside a picture (EXIF), the same in every format."""

import numpy as np

ORIENTATION = 0x0112  # the tag
_EXIF = b"Exif\0\0"
_SHORT, _LONG = 3, 4


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
  """The picture as it is to be shown.

  Args:
    image: "H W C".
    orientation: 1 to 8 as EXIF numbers them; 1 is upright.
  """
  if orientation in (5, 6, 7, 8):  # H W C -> W H C
    image = image.swapaxes(0, 1)
  if orientation in (3, 4, 7, 8):
    image = image[::-1]
  if orientation in (2, 3, 6, 7):
    image = image[:, ::-1]
  return np.ascontiguousarray(image)


def orientation_of(exif: bytes) -> int:
  """The orientation in an EXIF block, 1 where there is none, or no sense in it.

  Args:
    exif: a TIFF header and its entries, perhaps with "Exif" in front.
  """
  exif = exif.removeprefix(_EXIF)
  order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
  if order is None:
    return 1

  def number(start: int, size: int) -> int:
    return int.from_bytes(exif[start : start + size], order)

  start = number(4, 4)
  for entry in range(min(number(start, 2), 1000)):
    place = start + 2 + 12 * entry
    if number(place, 2) == ORIENTATION and number(place + 2, 2) in (_SHORT, _LONG):
      found = number(place + 8, 2 if number(place + 2, 2) == _SHORT else 4)
      return found if 1 <= found <= 8 else 1
  return 1


def exif_of_jpeg(data: bytes) -> bytes:
  """The EXIF block of a JPEG, empty without one."""
  place = 2
  while place + 4 <= len(data) and data[place] == 0xFF:
    marker = data[place + 1]
    if marker == 0xFF:  # a fill byte
      place += 1
      continue
    if marker in (0xDA, 0xD9):  # the picture begins, or the file ends
      break
    size = int.from_bytes(data[place + 2 : place + 4], "big")
    if marker == 0xE1 and data[place + 4 : place + 10] == _EXIF:
      return data[place + 4 : place + 2 + size]
    place += 2 + size
  return b""


def exif_of_png(data: bytes) -> bytes:
  """The EXIF block of a PNG, empty without one."""
  place = 8
  while place + 12 <= len(data):
    size = int.from_bytes(data[place : place + 4], "big")
    if data[place + 4 : place + 8] == b"eXIf":
      return data[place + 8 : place + 8 + size]
    place += 12 + size
  return b""

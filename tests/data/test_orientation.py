"""EXIF blocks, whole and nonsense."""

import struct

import numpy as np
import pytest

from pretrainjax.data.orientation import exif_of_jpeg, exif_of_png, orientation_of, upright


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
  head = b"II*\0" if order == "<" else b"MM\0*"
  value = struct.pack(f"{order}{'H' if kind == 3 else 'I'}", orientation).ljust(4, b"\0")
  entry = struct.pack(f"{order}HHI", 0x0112, kind, 1) + value
  return head + struct.pack(f"{order}IH", 8, 1) + entry + b"\0" * 4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_the_tag_is_found_in_either_order_of_bytes(order, kind):
  assert orientation_of(exif(6, order, kind)) == 6
  assert orientation_of(b"Exif\0\0" + exif(8, order, kind)) == 8


def test_nonsense_is_upright():
  whole = exif(6)
  for data in (b"", b"II*\0", whole[:11], exif(0), exif(9), b"II*\0\xff\xff\xff\xff", b"x" * 40):
    assert orientation_of(data) == 1
  many = b"II*\0" + struct.pack("<IH", 8, 0xFFFF) + b"\0" * 100
  assert orientation_of(many) == 1


def test_blocks_in_files():
  block = b"Exif\0\0" + exif(6)
  other = b"\xff\xe0\0\x04ab"
  jpeg = b"\xff\xd8" + other + b"\xff\xff\xe1" + struct.pack(">H", len(block) + 2) + block
  assert orientation_of(exif_of_jpeg(jpeg + b"\xff\xda\0\2")) == 6
  assert exif_of_jpeg(b"\xff\xd8" + other + b"\xff\xda\0\2" + jpeg[2:]) == b""
  assert exif_of_jpeg(b"\xff\xd8\xff\xe1\0\0" * 3) == b"" == exif_of_jpeg(b"")
  png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(exif(3))) + b"eXIf" + exif(3) + b"crc!"
  assert orientation_of(exif_of_png(png)) == 3
  assert exif_of_png(png[:8] + b"\xff\xff\xff\xffIDAT" + png[8:]) == b""


def test_all_eight_show_the_same_picture():
  picture = np.arange(6).reshape(2, 3, 1)
  stored = {
    1: picture,
    2: picture[:, ::-1],
    3: picture[::-1, ::-1],
    4: picture[::-1],
    5: picture.swapaxes(0, 1),
    6: np.rot90(picture),
    7: picture[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(picture, -1),
  }
  for orientation, pixels in stored.items():
    np.testing.assert_array_equal(upright(pixels, orientation), picture, str(orientation))

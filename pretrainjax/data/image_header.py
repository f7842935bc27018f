"""What an image file says of itself in its first bytes; nothing is unpacked."""

import re

# So many bytes of a file are enough for `format_of`.
HEAD = 256

_BEGINNINGS = {
  "JPEG": re.compile(rb"\xff\xd8\xff"),
  "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
  "GIF": re.compile(rb"GIF8[79]a"),
  "TIFF": re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
  "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
  "AVIF": re.compile(rb".{4}ftypavi[fs]|.{4}ftypmif1.{8,40}avif", re.DOTALL),
  # Two bytes would be little: the length of what follows, and numbers, must be there too.
  "BMP": re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
  "PPM": re.compile(rb"P[1-6]\s(?:\s*#[^\n]*\n)*\s*\d+\s+\d+\s"),
  "HEIC": re.compile(rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
  "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
  "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
  "DICOM": re.compile(rb".{128}DICM", re.DOTALL),
}


def format_of(head: bytes) -> str | None:
  """The format that a file begins as, whatever its name: "JPEG", "HEIC"; None for no image."""
  return next((name for name, begins in _BEGINNINGS.items() if begins.match(head)), None)


def webp_size(data: bytes) -> tuple[int, int]:
  """Height and width of a WebP, which its decoder makes room for as soon as it is opened.

  Raises:
    ValueError: for a file that ends in its header, or has another one.
  """
  kind = data[12:16]
  if len(data) < 30 or kind not in (b"VP8X", b"VP8L", b"VP8 "):
    raise ValueError("no WebP, or cut short")
  if kind == b"VP8X":
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
  elif kind == b"VP8L":
    bits = int.from_bytes(data[21:25], "little")
    width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
  else:
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
  return height, width

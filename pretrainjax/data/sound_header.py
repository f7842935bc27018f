"""What a sound file says of itself in its first and last bytes; nothing is decoded."""

import re
from typing import BinaryIO

# So many bytes of a file are enough for `format_of`.
HEAD = 256

# Of these soundfile reads; the others are named, so that nobody wonders.
READABLE = frozenset(("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "CAF", "SPHERE"))
_BEGINNINGS = {
  "WAV": re.compile(rb"(?:RIFF|RIFX|RF64).{4}WAVE", re.DOTALL),
  "FLAC": re.compile(rb"fLaC"),
  "OGG": re.compile(rb"OggS"),
  "AIFF": re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL),
  "AU": re.compile(rb"\.snd"),
  "W64": re.compile(rb"riff\x2e\x91\xcf\x11"),
  "CAF": re.compile(rb"caff\0"),
  "SPHERE": re.compile(rb"NIST_1A\n"),
  "M4A": re.compile(rb".{4}ftyp(?:M4A|M4B|mp4|isom|iso2|dash|3gp)", re.DOTALL),
  "WebM": re.compile(rb"\x1a\x45\xdf\xa3"),
  "WMA": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
  "AMR": re.compile(rb"#!AMR"),
  "AAC": re.compile(rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xff]"),
  # A frame of layer III whose rate and bit rate there are.
  "MP3": re.compile(rb"ID3[\x02-\x04]|\xff[\xfa\xfb\xf2\xf3\xe2\xe3][\x10-\xeb]"),
}
_LAST = 1 << 17  # bytes: two pages of Ogg
# What programs write that cannot go back: 0, -1, and the largest of 31 bits, with a header less.
_UNKNOWN = 0x7FFF_F000


def format_of(head: bytes) -> str | None:
  """The format that a file begins as, whatever its name: "WAV", "M4A"; None for no sound."""
  return next((name for name, begins in _BEGINNINGS.items() if begins.match(head)), None)


def is_cut(file: BinaryIO) -> bool:
  """Whether a file ends before its header says, or an Ogg within a page.

  Of FLAC and MP3 only decoding tells. The place in the file is another one afterwards.
  """
  size = file.seek(0, 2)
  file.seek(0)
  head = file.read(12)
  if head[:4] in (b"RIFF", b"RIFX"):
    return _is_riff_cut(file, size, "big" if head[:4] == b"RIFX" else "little")
  if head[:4] == b"FORM":
    return int.from_bytes(head[4:8], "big") + 8 > size
  return head[:4] == b"OggS" and not _has_last_page(file, size)


def _is_riff_cut(file: BinaryIO, size: int, order: str) -> bool:
  place = 12
  while place + 8 <= size:
    file.seek(place)
    name, length = file.read(4), int.from_bytes(file.read(4), order)  # pyright: ignore
    if name == b"data":
      return 0 < length < _UNKNOWN and place + 8 + length > size
    place += 8 + length + length % 2
  return True


def _has_last_page(file: BinaryIO, size: int) -> bool:
  """Whether the last page of an Ogg is whole; not all programs mark it as the last."""
  file.seek(max(size - _LAST, 0))
  data = file.read(_LAST)
  start = data.rfind(b"OggS")
  if start < 0 or len(data) < start + 27:
    return False
  segments = data[start + 26]
  lengths = data[start + 27 : start + 27 + segments]
  return len(lengths) == segments and start + 27 + segments + sum(lengths) <= len(data)

"""Streams of a log's bytes: one that ends where it is damaged, and one without MovieLens's "::"."""

import io
from collections.abc import Iterator

from pretrainjax.prepare.contract import Remark, Unreadable
from pretrainjax.prepare.text.streams import NoText

UNENDED = "at a file's end without a newline, which may be cut"
SEPARATOR = "\x1f"  # what stands in the place of "::": a table's delimiter is one character


class Until(io.RawIOBase):
  """A stream that ends where it is damaged, and says so: what came before is read all the same.

  Attributes:
    fault: what was wrong, in words; None for nothing.
  """

  def __init__(self, inner: io.BufferedIOBase):
    """Reads another stream.

    Args:
      inner: raises `NoText` where it is damaged.
    """
    self._inner, self._last = inner, b"\n"
    self.fault: str | None = None

  def readable(self) -> bool:
    """It is."""
    return True

  def readinto(self, buffer) -> int:
    """Reads into a buffer; 0 at the end."""
    if self.fault is not None:
      return 0
    try:
      data = self._inner.read1(len(buffer))
    except NoText as error:
      self.fault = str(error)
      return 0
    buffer[: len(data)] = data
    self._last = bytes(data[-1:]) or self._last
    return len(data)

  def told(self, key: str) -> Iterator[Unreadable | Remark]:
    """What is to be told of the end of the file.

    Args:
      key: the name of the file.
    """
    if self.fault is not None:
      yield Unreadable(key, self.fault)
    elif self._last != b"\n":
      yield Remark(UNENDED, 1)


class Single(io.RawIOBase):
  """A stream with `SEPARATOR` in the place of each "::"."""

  def __init__(self, inner: io.BufferedIOBase):
    """Reads another stream.

    Args:
      inner: a stream of text in UTF-8.
    """
    self._inner, self._rest = inner, b""

  def readable(self) -> bool:
    """It is."""
    return True

  def readinto(self, buffer) -> int:
    """Reads into a buffer; 0 at the end."""
    data, more = self._rest, b"more"
    while more and data in (b"", b":"):  # of one colon it is not known whether another follows
      more = self._inner.read1(max(len(buffer) - len(data), 1))
      data += more
    colons = len(data) - len(data.rstrip(b":"))
    is_open = bool(more) and colons % 2 == 1
    data, self._rest = (data[:-1], b":") if is_open else (data, b"")
    data = data.replace(b"::", SEPARATOR.encode())
    buffer[: len(data)] = data
    return len(data)

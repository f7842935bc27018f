"""A file of text, compressed or not and in any encoding, as UTF-8; memory does not grow with it."""

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretrainjax.untrusted import open_file

COMPRESSED = (".gz", ".zst")
_HEAD = 1 << 12  # bytes that are looked at to know the encoding
_BUFFER = _CHUNK = 1 << 20
# The longer ones first: UTF-32's begins with UTF-16's.
_MARKS = (
  (codecs.BOM_UTF32_LE, "utf-32"),
  (codecs.BOM_UTF32_BE, "utf-32"),
  (codecs.BOM_UTF8, "utf-8-sig"),
  (codecs.BOM_UTF16_LE, "utf-16"),
  (codecs.BOM_UTF16_BE, "utf-16"),
)
ENCODING_FLAG = "--config.source.encoding"  # of `prepare text`


class NoText(Exception):
  """Raised for a file that is no text, with a reason in words that can be counted."""


class TextStream:
  """A file's text from its beginning.

  Attributes:
    encoding: the one that its byte order mark says, or that was asked for without one.
    utf8: the text as bytes in UTF-8, without a mark; reading it raises `NoText` where the file is
      damaged, or is no text in this encoding.
  """

  def __init__(
    self, raw: io.BufferedReader, unpacked: io.BufferedReader, encoding: str, *, flag: str
  ):
    self._raw, self._flag = raw, flag
    head = unpacked.peek(_HEAD)[:_HEAD]
    self.encoding = next((name for mark, name in _MARKS if head.startswith(mark)), encoding)
    has_mark = self.encoding != encoding or head.startswith(codecs.BOM_UTF8)
    if not has_mark:
      _refuse_wide(head, encoding, flag=flag)
    if codecs.lookup(self.encoding).name == "utf-8":
      self.utf8 = unpacked
    elif self.encoding == "utf-8-sig":
      unpacked.read(len(codecs.BOM_UTF8))
      self.utf8 = unpacked
    else:
      self.utf8 = io.BufferedReader(_InUtf8(unpacked, self.encoding, flag), _BUFFER)

  def tell(self) -> int:
    """How many bytes of the file, as it lies there, were read so far."""
    return self._raw.tell()

  def chunks(self) -> Iterator[str]:
    """The text in pieces; newlines of other systems are ours in it."""
    text = io.TextIOWrapper(self.utf8, encoding="utf-8", newline=None)
    try:
      while chunk := text.read(_CHUNK):
        yield chunk
    except UnicodeDecodeError:
      raise _not_encoded(self.encoding, self._flag) from None


@contextlib.contextmanager
def open_text(path: Path, *, encoding: str, flag: str = ENCODING_FLAG) -> Iterator[TextStream]:
  """Opens a file of text.

  Args:
    path: with .gz or .zst at its end it is unpacked as it is read.
    encoding: of files without a byte order mark.
    flag: the flag that names the encoding, for messages.

  Raises:
    NoText: for a file that is none.
    OSError: where the machine cannot read it.
  """
  with contextlib.ExitStack() as stack:
    raw = stack.enter_context(open_file(path))
    inner = {".gz": _gz, ".zst": _zst}.get(path.suffix.lower(), lambda file: file)(raw)
    unpacked = io.BufferedReader(_Checked(inner, path.suffix.lower()), _BUFFER)
    yield TextStream(raw, unpacked, encoding, flag=flag)


def _not_encoded(encoding: str, flag: str) -> NoText:
  """What is raised for bytes that are no text in an encoding."""
  return NoText(f"not {encoding.removesuffix('-sig').upper()} ({flag} names another)")


def _gz(raw: io.BufferedReader) -> Any:
  return gzip.GzipFile(fileobj=raw)


def _zst(raw: io.BufferedReader) -> Any:
  import pyarrow  # slow to load, and what is not packed does without

  return pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd")


class _Checked(io.RawIOBase):
  """Bytes of a file, unless they are damaged or hardly anything but zeros."""

  def __init__(self, inner: Any, suffix: str):
    self._inner, self._suffix = inner, suffix

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    try:
      data = self._inner.read1(len(buffer))  # what comes before damage is read all the same
    except (EOFError, zlib.error, gzip.BadGzipFile):
      raise NoText(f"not a whole {self._suffix}") from None
    except OSError as error:
      if error.errno is None:  # Arrow's, for damage
        raise NoText(f"not a whole {self._suffix}") from None
      raise
    if len(data) >= _HEAD and data.count(0) > 0.9 * len(data):
      raise NoText("zero bytes, no text")
    buffer[: len(data)] = data
    return len(data)


class _InUtf8(io.RawIOBase):
  """Text of another encoding as UTF-8."""

  def __init__(self, inner: Any, encoding: str, flag: str):
    self._inner, self._encoding, self._flag = inner, encoding, flag
    self._decoder = codecs.getincrementaldecoder(encoding)()
    self._rest = b""

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    while not self._rest:
      data = self._inner.read(_BUFFER)
      try:
        self._rest = self._decoder.decode(data, final=not data).encode()
      except UnicodeError:
        raise _not_encoded(self._encoding, self._flag) from None
      if not data:
        break
    size = min(len(buffer), len(self._rest))
    buffer[:size], self._rest = self._rest[:size], self._rest[size:]
    return size


def _refuse_wide(head: bytes, encoding: str, *, flag: str) -> None:
  """Raises NoText for what looks like UTF-16 without a mark, which UTF-8 takes for text."""
  if len(head) < 2 or head.count(0) < 0.1 * len(head) or "16" in encoding or "32" in encoding:
    return
  even, odd = head[::2].count(0), head[1::2].count(0)
  if even + odd > 0.9 * len(head):
    raise NoText("zero bytes, no text")
  guess = "utf-16-le" if odd > even else "utf-16-be"
  raise NoText(f"zero bytes, as in UTF-16 ({flag}={guess})")

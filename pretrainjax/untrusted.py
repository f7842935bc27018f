"""Opens what somebody else wrote: files of a checkpoint, a prepared dataset, a tokenizer, raw data.

A path of theirs can lead to a pipe that nobody writes to, to a device without an end, or by a link
out of the folder that it lies in, and the size of /proc/kmsg is 0. So only regular files are
opened, and no more bytes are read than a limit says, whatever the size that is told.
"""

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any, BinaryIO

from pretrainjax.errors import UserError, printable

# The most bytes of a JSON file: what Python makes of it may be 30 times as large.
MAX_JSON = 1 << 24
# The most bytes of a file of lines, such as a run's metrics.
_MAX_LINES = 1 << 30
# Lists and dicts within each other: those of ours have 12 levels, and who walks through recurses.
_DEEPEST = 64
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
_PART = 1 << 20


class BadFile(UserError):
  """A file that cannot be read, or is not what it should be.

  Attributes:
    path: the path of the file.
    reason: what is wrong with it in a few words, "is no regular file".
  """

  def __init__(self, path: Path | str, reason: str):
    super().__init__(f"{path}: {reason}")
    self.path, self.reason = path, reason

  def __reduce__(self) -> tuple:
    return type(self), (self.path, self.reason)


def open_file(path: Path | str, *, inside: Path | str | None = None) -> BinaryIO:
  """Opens a regular file for reading.

  Args:
    path: the path of the file; links are followed.
    inside: the folder that the file has to lie in, wherever links lead; None allows all places,
      for paths that the user typed.

  Raises:
    BadFile: for what is no regular file, or lies outside of the folder.
    OSError: where the file is missing or cannot be opened.
  """
  real = os.path.realpath(path)
  if inside is not None and not is_inside(real, inside):
    raise BadFile(path, f"leads out of {inside}")
  if not stat.S_ISREG(os.stat(real).st_mode):  # to open some devices is to use them
    raise BadFile(path, "is no regular file")
  file = os.fdopen(os.open(real, _FLAGS), "rb")
  if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
    file.close()
    raise BadFile(path, "is no regular file")
  return file


def is_inside(path: Path | str, folder: Path | str) -> bool:
  """Whether a path lies below a folder when all links are followed and all ".." are taken away."""
  real, root = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
  return real.is_relative_to(root)


def read_bytes(path: Path | str, *, limit: int, inside: Path | str | None = None) -> bytes:
  """Reads a whole file, unless it is larger than it may be.

  Args:
    path: the path of the file.
    limit: the most bytes that are read.
    inside: the folder that the file has to lie in, see `open_file`.

  Raises:
    BadFile: whatever is wrong.
  """
  try:
    with open_file(path, inside=inside) as file:
      found = _read(file, limit)
  except OSError as error:
    raise BadFile(path, f"cannot be read ({error.strerror})") from error
  except ValueError as error:  # of a path: a null byte in it
    raise BadFile(printable(str(path)), f"cannot be read ({error})") from error
  if found is None:
    raise BadFile(path, f"has more than {_size(limit)}")
  return found


def read_text(path: Path | str, *, limit: int, inside: Path | str | None = None) -> str:
  """Reads a whole file of UTF-8, see `read_bytes`."""
  try:
    return read_bytes(path, limit=limit, inside=inside).decode("utf-8")
  except UnicodeDecodeError as error:
    raise BadFile(path, "is not UTF-8") from error


def read_lines(path: Path) -> list[bytes]:
  """Reads the lines of a file in a run's folder, with their ends; they may be no text."""
  return read_bytes(path, limit=_MAX_LINES, inside=path.parent).splitlines(keepends=True)


def ends_a_line(path: Path) -> bool:
  """Whether a file in a run's folder, to be appended to, is empty, missing or ends with a line.

  Raises:
    BadFile: for what is no file of the folder.
  """
  if not os.path.lexists(path):
    return True
  try:
    with open_file(path, inside=path.parent) as file:
      file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
      return file.read(1) in (b"", b"\n")
  except OSError as error:
    raise BadFile(path, f"cannot be read ({error.strerror})") from error


def read_json(path: Path | str, *, limit: int = MAX_JSON, inside: Path | str | None = None) -> Any:
  """Reads a whole file of JSON, see `read_bytes`; BadFile for malformed or too deeply nested."""
  data = read_bytes(path, limit=limit, inside=inside)
  try:
    return parse_json(data)
  except ValueError as error:
    raise BadFile(path, f"is no JSON ({error})") from error


def parse_json(data: bytes | str) -> Any:
  """The value of a JSON text, of at most 64 levels.

  Raises:
    ValueError: saying in a few words what is wrong.
  """
  try:
    found = json.loads(data)
  except RecursionError:
    raise ValueError(f"more than {_DEEPEST} levels") from None
  except UnicodeDecodeError:
    raise ValueError("not UTF-8") from None
  except ValueError as error:
    raise ValueError(" ".join(str(error).split())[:100]) from None
  level = [found]
  for _ in range(_DEEPEST + 1):
    level = [inner for value in level for inner in _inner(value)]
    if not level:
      return found
  raise ValueError(f"more than {_DEEPEST} levels")


def replace(path: Path, content: str | bytes) -> None:
  """Writes a whole file in place of the one that is there, on the disk when this returns; no links.

  Args:
    path: the path of the file.
    content: what it holds from then on; text as UTF-8.

  Raises:
    OSError: where it cannot be written.
  """
  temporary = path.with_name(f"{path.name}.tmp")
  temporary.unlink(missing_ok=True)  # of a run that was killed
  with open(temporary, "xb") as file:
    file.write(content.encode() if isinstance(content, str) else content)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)


def try_to_write(folder: Path) -> None:
  """Makes a folder if it is missing, and writes a file there that is gone again at once.

  Args:
    folder: the folder, which several processes may try at the same time.

  Raises:
    OSError: where nothing can be written in it.
  """
  folder.mkdir(parents=True, exist_ok=True)
  probe = folder / f".write_probe_{socket.gethostname()}_{os.getpid()}"
  replace(probe, "")
  probe.unlink()


def _inner(value: Any) -> list[Any]:
  """The lists and dicts directly in a value."""
  values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
  return [inner for inner in values if isinstance(inner, (dict, list))]


def _read(file: BinaryIO, limit: int) -> bytes | None:
  """The content of a file; None where it is larger than `limit`."""
  handle, parts, left = file.fileno(), [], limit + 1
  if os.fstat(handle).st_size > limit:
    return None
  while left > 0:
    # Not by the file object: of /proc/kmsg, whose end has to be waited for, it would tell an end.
    part = os.read(handle, min(left, _PART))
    if not part:
      return b"".join(parts)
    parts.append(part)
    left -= len(part)
  return None


def _size(limit: int) -> str:
  return f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit:,} bytes"

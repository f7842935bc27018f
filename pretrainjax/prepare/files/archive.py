"""A .tgz of files, unpacked without trusting it."""

import gzip
import tarfile
from pathlib import Path

from pretrainjax.untrusted import open_file

_MAX_BYTES, _MAX_FILES = 1 << 29, 100_000


def unpack(archive: Path, target: Path, *, max_bytes: int = _MAX_BYTES) -> None:
  """Unpacks files and folders; an archive that holds anything else, or too much, is refused whole.

  Args:
    archive: the path of a .tgz file.
    target: a folder; nothing is written outside of it.
    max_bytes: the most bytes that the archive may have without its compression.

  Raises:
    ValueError: for an archive that is damaged, holds links or devices, leads out of `target`, or is
      too large.
  """
  try:
    for only_look in (True, False):
      # As a stream: members are met in order, and what is read in all can be counted.
      with (
        open_file(archive) as packed,
        gzip.GzipFile(fileobj=packed) as stream,
        tarfile.open(fileobj=_Counted(stream, max_bytes), mode="r|") as opened,
      ):
        for number, member in enumerate(opened):
          _check(member, number)
          if not only_look:
            opened.extract(member, target, filter="data")
  except ValueError:
    raise
  except Exception as error:  # tarfile's, zlib's and the system's have no common base
    raise ValueError(f"cannot be unpacked: {' '.join(str(error).split())}") from error


class _Counted:
  """A stream that ends in an error where it has given too much."""

  def __init__(self, stream: gzip.GzipFile, max_bytes: int):
    self._stream, self._left, self._max = stream, max_bytes, max_bytes

  def read(self, size: int) -> bytes:
    data = self._stream.read(min(size, self._left + 1))
    self._left -= len(data)
    if self._left < 0:
      raise ValueError(f"unpacks to more than {self._max} bytes")
    return data


def _check(member: tarfile.TarInfo, number: int) -> None:
  # Links too could lead out, once what they name is written through.
  if not (member.isreg() or member.isdir()) or member.issparse():
    raise ValueError(f"holds '{member.name}', which is no plain file and no folder")
  path = Path(member.name)
  if path.is_absolute() or ".." in path.parts:
    raise ValueError(f"holds '{member.name}', which leads out of the folder")
  if number >= _MAX_FILES:
    raise ValueError(f"holds more than {_MAX_FILES} files")

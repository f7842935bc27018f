"""Files that only grow; what was not committed is cut off when a run goes on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO


class Appended:
  """Files of a folder, which grow at their ends."""

  def __init__(self, folder: Path, sizes: Mapping[str, int]):
    """Cuts each file to the size that was noted last.

    Args:
      folder: the folder of the files.
      sizes: the size of each file, as the last `sync` gave them; what was written after it will
        come again.
    """
    self._folder, self._sizes = folder, dict(sizes)
    self._files: dict[str, BinaryIO] = {}
    for name, size in sizes.items():
      os.truncate(folder / name, size)

  def append(self, name: str, data: bytes) -> int:
    """Writes at a file's end; returns where that was."""
    if name not in self._files:
      mode = "ab" if name in self._sizes else "wb"  # a file that no commit knows is begun anew
      self._files[name] = open(self._folder / name, mode)
      self._sizes.setdefault(name, 0)
    place = self._sizes[name]
    self._files[name].write(data)
    self._sizes[name] = place + len(data)
    return place

  def size(self, name: str) -> int:
    """The size of a file so far; 0 of one that no commit knows, whatever lies there."""
    return self._sizes.get(name, 0)

  def sync(self) -> dict[str, int]:
    """Makes everything last, and returns the sizes to be noted."""
    for file in self._files.values():
      file.flush()
      os.fsync(file.fileno())
    return dict(self._sizes)

  def close(self) -> None:
    """Closes the files."""
    for file in self._files.values():
      file.close()

"""What stands where a file should stand, in a folder of somebody who means harm."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path


def _socket(path: Path) -> None:
  with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as one:  # names are short
    one.bind(path.name)


def _huge(path: Path) -> None:
  with path.open("wb") as file:
    file.truncate(1 << 40)  # takes no room on the disk


# Each makes a path that did not exist into something that a reader must not believe.
NO_FILES: dict[str, Callable[[Path], None]] = {
  "a pipe": os.mkfifo,
  "a folder": os.mkdir,
  "a socket": _socket,
  "a device without an end": lambda path: path.symlink_to("/dev/zero"),
  "a terminal": lambda path: path.symlink_to("/dev/tty"),
  "a link to nothing": lambda path: path.symlink_to(path.with_name("nobody")),
  "a link to itself": lambda path: path.symlink_to(path),
  "a link out of the folder": lambda path: path.symlink_to("/etc/hostname"),
  "a file that says it is empty": lambda path: path.symlink_to("/proc/self/mounts"),
}
# The same, and regular files whose content harms whoever reads all of it.
STRANGE: dict[str, Callable[[Path], None]] = NO_FILES | {
  "a huge file": _huge,
  "brackets": lambda path: _write(path, b"[" * 100_000),
  "no text": lambda path: _write(path, b"\xff\x00\xfe"),
  "a long number": lambda path: _write(path, b"9" * 5000),
  "nothing": lambda path: _write(path, b""),
}


def _write(path: Path, data: bytes) -> None:
  path.write_bytes(data)


@contextlib.contextmanager
def in_place_of(path: Path, kind: str) -> Iterator[None]:
  """Something strange in place of a file, while inside; what was there comes back."""
  kept = path.with_name(f".{path.name}.kept")
  if path.exists():
    path.rename(kept)
  try:
    STRANGE[kind](path)
    yield
  finally:
    if os.path.lexists(path):
      path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    if kept.exists():
      kept.rename(path)

"""Disks of a test's own, where the system lets us: as root on Linux."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def disk(folder: Path, *options: str) -> Iterator[Path]:
  """A file system in memory at `folder`; the test is skipped where none can be mounted.

  Args:
    folder: made if it is missing.
    *options: of mount, such as "size=64m" or "ro".
  """
  folder.mkdir(parents=True, exist_ok=True)
  mount = shutil.which("mount")
  command = [mount or "mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)]
  if mount is None or subprocess.run(command, capture_output=True).returncode != 0:
    pytest.skip("mounts nothing")
  try:
    yield folder
  finally:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

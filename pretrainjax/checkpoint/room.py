"""Free space: whether a save fits, what a full disk is called, and what a failed save leaves."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import jax

# What the system calls a disk that takes no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Beside the arrays: config, indices, names.
_BESIDE = 2**20


def lack_of_room(folder: Path, state: Any) -> str:
  """What is wrong where a save would not fit, "" where it does.

  Args:
    folder: of the checkpoints.
    state: to be saved; random bits do not compress, so its bytes are what it takes.
  """
  needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) + _BESIDE
  free = shutil.disk_usage(folder).free
  return "" if free > needed else f"it takes {_size(needed)}, and {_size(free)} are free"


def disk_error(error: BaseException) -> str:
  """What the system says of a full disk, "" for an error of another kind.

  Orbax and TensorStore wrap it in many lines.
  """
  text = str(error)
  return next((os.strerror(n).lower() for n in _FULL if os.strerror(n) in text), "")


def remove_leftovers(folder: Path, step: int) -> None:
  """Deletes what a failed save of `step` wrote: it would be in the way of the next."""
  for path in folder.glob(f"{step}.orbax-checkpoint-tmp*"):
    shutil.rmtree(path, ignore_errors=True)


def _size(count: int) -> str:
  return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"

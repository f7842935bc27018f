"""Free disk space: whether a save fits, how a full disk is recognised, cleaning up after it."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import jax

# The error numbers of a full disk, an exceeded quota and a file that is too large.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Bytes that a save takes beside the arrays: config, indices, names.
_BESIDE = 2**20


def lack_of_space(folder: Path, state: Any) -> str:
  """The reason why a save would not fit on the disk, "" where it would.

  Args:
    folder: the folder of the checkpoints.
    state: the pytree of arrays to be saved; random bits do not compress, so its bytes are what it
      takes.
  """
  needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) + _BESIDE
  free = shutil.disk_usage(folder).free
  return "" if free > needed else f"it takes {_size(needed)}, and {_size(free)} are free"


def full_disk_reason(error: BaseException) -> str:
  """The system's message of a full disk within an exception, "" for an error of another kind.

  Orbax and TensorStore wrap it in many lines.
  """
  text = str(error)
  return next((os.strerror(n).lower() for n in _FULL if os.strerror(n) in text), "")


def remove_leftovers(folder: Path, step: int) -> None:
  """Deletes the partial files of a failed save of `step`, which would make the next one fail."""
  for path in folder.glob(f"{step}.orbax-checkpoint-tmp*"):
    shutil.rmtree(path, ignore_errors=True)


def _size(count: int) -> str:
  return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"

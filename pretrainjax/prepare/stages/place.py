"""Where a dataset lies: it is there whole or not at all, and has one writer at a time."""

import contextlib
import fcntl
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.prepare.stages.shards import VERSION

REPORT = "prepared.json"
_log = logging.getLogger(__name__)


def check_name(name: str) -> None:
  """Raises ValueError for what cannot be the name of a dataset, which is that of a folder too."""
  if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
    raise ValueError(f"name='{name}': expected small letters, digits and underscores")
  if len(name) > 100:
    raise ValueError(f"name='{name}': expected at most 100 letters")


def folder_of(name: str, data_dir: Path) -> Path:
  """The folder where a dataset of ours lies, complete or not there."""
  return data_dir / name / VERSION


def is_complete(folder: Path) -> bool:
  """Whether a dataset was written to its end: it is written elsewhere and renamed."""
  return (folder / "dataset_info.json").is_file()


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
  """Holds a lock while inside, which the system takes back from a process that dies."""
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / ".lock", "w") as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _log.warning("another process writes to %s; waiting for it", folder)
      fcntl.flock(lock, fcntl.LOCK_EX)
    yield

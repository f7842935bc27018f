"""Writes a dataset so that it is there whole or not at all, and one writer at a time."""

import contextlib
import fcntl
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from pretrainjax.errors import UserError
from pretrainjax.prepare.image.builders import CollectedBuilder
from pretrainjax.prepare.image.collected import Collected

REPORT = "prepared.json"
_log = logging.getLogger(__name__)


def folder_of(name: str, data_dir: Path) -> Path:
  """Where a dataset of ours lies, complete or not there."""
  return data_dir / name / str(CollectedBuilder.VERSION)


def is_complete(folder: Path) -> bool:
  """Whether a dataset was written to its end: tfds writes elsewhere and renames."""
  return (folder / "dataset_info.json").is_file()


def write(
  builder: type[CollectedBuilder],
  collected: Collected,
  *,
  data_dir: Path,
  num_shards: int | None,
  report: dict[str, Any],
) -> Path:
  """Writes what was collected, and the report beside it.

  Args:
    builder: of the dataset.
    collected: its examples.
    data_dir: where datasets lie.
    num_shards: files of each split; None lets tfds choose.
    report: written as JSON.

  Returns:
    The dataset's folder.

  Raises:
    UserError: where nothing can be written there.
  """
  folder = folder_of(builder.name, data_dir)
  try:
    with sole_writer(folder.parent):
      if is_complete(folder):  # another process was faster
        return folder
      for left_over in folder.parent.glob("incomplete.*"):  # of a writer that was killed
        shutil.rmtree(left_over)
      tfds.disable_progress_bar()  # ours says which split it writes
      options = tfds.download.DownloadConfig(num_shards=num_shards)
      writer = builder(collected=collected, data_dir=str(data_dir))
      writer.download_and_prepare(download_config=options)
      (folder / REPORT).write_text(json.dumps(report, indent=2))
  except OSError as error:
    reason = error.strerror or " ".join(str(error).split())
    raise UserError(f"--data_dir: cannot write '{folder}' ({reason})") from error
  return folder


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
  """Holds a lock, which the system takes back from a process that dies."""
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / ".lock", "w") as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      _log.warning("another process writes to %s; waiting for it", folder)
      fcntl.flock(lock, fcntl.LOCK_EX)
    yield

"""The files of a step, looked at before Orbax and TensorStore open and believe them."""

import os
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.checkpoint.sealed import Damaged
from pretrainjax.untrusted import BadFile, is_inside, read_json

# What Orbax parses whole, and what TensorStore reads whole: an index of few entries.
_JSON = ("_CHECKPOINT_METADATA", "_METADATA", "_sharding")
_INDEX = "manifest.ocdbt"
_MAX_METADATA, _MAX_INDEX = 1 << 26, 1 << 26


def check_files(folder: Path) -> None:
  """Looks at the files of a step without reading its arrays.

  Args:
    folder: the folder of the step.

  Raises:
    Damaged: where one is no regular file, leads out of the folder, or is one of metadata that is
      malformed or far too large.
  """
  try:
    for path in _files(folder):
      if path.name in _JSON or path.parent.name == "array_metadatas":
        read_json(path, limit=_MAX_METADATA, inside=folder)
      elif path.name == _INDEX and path.stat().st_size > _MAX_INDEX:
        raise BadFile(path, f"has more than {_MAX_INDEX >> 20} MiB")
  except BadFile as error:
    name = os.path.relpath(error.path, folder)
    raise Damaged(f"{name} {error.reason}") from error
  except OSError as error:  # a trainer may be deleting it
    raise Damaged(f"{folder.name} cannot be read ({error.strerror})") from error


def _files(folder: Path) -> Iterator[Path]:
  """All regular files below a folder; BadFile for anything else."""
  with os.scandir(folder) as entries:
    for entry in sorted(entries, key=lambda entry: entry.name):
      path = Path(entry.path)
      if entry.is_symlink():
        if not is_inside(path, folder) or not path.is_file():
          raise BadFile(path, "is a link to something else than a file beside it")
        yield path
      elif entry.is_dir() and entry.name not in (*_JSON, _INDEX):
        yield from _files(path)
      elif entry.is_file():
        yield path
      else:
        raise BadFile(path, "is no regular file")

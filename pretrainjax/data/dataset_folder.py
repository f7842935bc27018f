"""A prepared dataset's folder: found by name, and opened without believing what is in it.

What tfds reads there may come from a stranger, and a features.json can name any Python module for
tfds to import.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from pretrainjax.errors import UserError

# tfds imports the module of whatever class stands under these names.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")
_OF_TFDS = re.compile(r"tensorflow_datasets\.core\.features(\.\w+)+", flags=re.ASCII)
_MAX_BYTES = 1 << 26


def newest_version(name: str, data_dir: Path) -> Path | None:
  """The folder of a dataset's newest version; None without any.

  Args:
    name: the name of the dataset, "cifar10", "glue/mrpc".
    data_dir: the folder in which prepared datasets lie.
  """
  versions = [path.parent for path in (data_dir / name).glob("*/dataset_info.json")]
  numbers = {path: [int(n) for n in path.name.split(".") if n.isdecimal()] for path in versions}
  return max(versions, key=lambda path: numbers[path], default=None)


def prepared_names(data_dir: Path) -> set[str]:
  """The names of all prepared datasets in a folder."""
  return {path.parents[1].name for path in data_dir.glob("*/*/dataset_info.json")}


def open_builder(folder: Path, *, flag: str) -> Any:
  """The builder that tfds reads the folder of a dataset with.

  Args:
    folder: the folder of one version.
    flag: the flag that named the dataset, for messages.

  Raises:
    UserError: for files that are damaged, or name a class that is not one of tfds' own features.
  """
  path = folder / "features.json"
  try:
    if path.stat().st_size > _MAX_BYTES:
      raise UserError(f"{flag}: '{path}' has more than {_MAX_BYTES >> 20} MiB")
    strange = [name for name in _class_names(json.loads(path.read_bytes())) if not _is_known(name)]
    if strange:
      raise UserError(
        f"{flag}: '{path}' names the class {strange[0]!r}, expected only features of tfds: nothing "
        "is imported because a dataset says so"
      )
    return tfds.builder_from_directory(folder)
  except UserError:
    raise
  except Exception as error:  # tfds and protobuf raise many kinds for damage
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    raise UserError(f"{flag}: '{folder}' is no whole dataset ({reason})") from error


def _class_names(value: Any) -> Iterator[Any]:
  """Every name of a class, at any depth; a feature may be called "type", but is no string."""
  if isinstance(value, list):
    for inner in value:
      yield from _class_names(inner)
  if isinstance(value, dict):
    for key, inner in value.items():
      if key in _CLASS_KEYS and not isinstance(inner, dict):
        yield inner
      yield from _class_names(inner)


def _is_known(name: Any) -> bool:
  return isinstance(name, str) and _OF_TFDS.fullmatch(name) is not None

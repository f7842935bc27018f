"""A prepared dataset's folder: found by name, and opened without believing what is in it.

What tfds reads there may come from a stranger: a features.json can name any Python module for tfds
to import, a dataset_info.json any path for its records, and any file can be a pipe or a device.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from pretrainjax.errors import UserError
from pretrainjax.untrusted import BadFile, is_inside, read_json
from pretrainjax.user_path import user_path

# tfds imports the module of whatever class stands under these names.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")
# Of a dataset_info.json and its splits: what names of files are made of, in both spellings.
_NAMES = ("name", "filepathTemplate", "filepath_template", "fileFormat", "file_format")
_OF_TFDS = re.compile(r"tensorflow_datasets\.core\.features(\.\w+)+", flags=re.ASCII)
TOKENIZER = "tokenizer.json"  # which has a limit of its own
_DESCRIBING = (".json", ".txt")
_MAX_BYTES = 1 << 26


def data_folder(data_dir: str | Path | None) -> Path:
  """The folder of prepared datasets: the one that is given, or $PRETRAINJAX_DATA, or "data"."""
  return user_path(data_dir or os.environ.get("PRETRAINJAX_DATA", "data"))


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
    UserError: for files that are damaged, or name a class that is not one of tfds' own features,
      or records outside of the folder.
  """
  path = folder / "features.json"
  try:
    _check_files(folder)
    found = read_json(path, limit=_MAX_BYTES, inside=folder)
    strange = [name for name in _class_names(found) if not _is_known(name)]
    if strange:
      raise UserError(
        f"{flag}: '{path}' names the class {strange[0]!r}, expected only features of tfds: nothing "
        "is imported because a dataset says so"
      )
    _check_paths(folder / "dataset_info.json")
    return tfds.builder_from_directory(folder)
  except BadFile as error:
    raise UserError(f"{flag}: '{error.path}' {error.reason}") from error
  except UserError:
    raise
  except Exception as error:  # tfds and protobuf raise many kinds for damage
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    raise UserError(f"{flag}: '{folder}' is no whole dataset ({reason})") from error


def _check_files(folder: Path) -> None:
  """Raises BadFile for what is no regular file, lies elsewhere, or is too large to be described."""
  with os.scandir(folder) as entries:
    for entry in entries:
      if entry.is_symlink() and not is_inside(entry.path, folder):
        raise BadFile(entry.path, f"leads out of {folder}")
      if entry.is_dir():
        continue
      if not entry.is_file():
        raise BadFile(entry.path, "is no regular file")
      is_read_whole = entry.name.endswith(_DESCRIBING) and entry.name != TOKENIZER
      if is_read_whole and entry.stat().st_size > _MAX_BYTES:
        raise BadFile(entry.path, f"has more than {_MAX_BYTES >> 20} MiB")


def _check_paths(path: Path) -> None:
  """Raises BadFile where a dataset_info.json looks for records in another folder."""
  info = read_json(path, limit=_MAX_BYTES, inside=path.parent)
  splits = info.get("splits", ()) if isinstance(info, dict) else ()
  parts = [info, *splits] if isinstance(splits, list) else [info]
  for values in parts:
    for key in _NAMES if isinstance(values, dict) else ():
      value = str(values.get(key, ""))
      if "/" in value or "\\" in value or ".." in value or "\0" in value:
        raise BadFile(path, f"has {key}={value!r}, expected a name of files in its folder")


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

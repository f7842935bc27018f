"""The manifest of a folder: its files with their SHA-256 sums, for folders that are copied."""

import hashlib
import json
import os
from pathlib import Path

from pretrainjax.errors import UserError
from pretrainjax.untrusted import BadFile, is_inside, open_file, read_json, replace

NAME = "MANIFEST.json"


def write(folder: Path) -> Path:
  """Writes FOLDER/MANIFEST.json over all files below the folder.

  Args:
    folder: a finished folder; a later change of a file makes `verify` refuse it.

  Returns:
    The path of the manifest.
  """
  entries = {name: _entry(folder / name) for name in _names(folder)}
  path = folder / NAME
  replace(path, json.dumps({"files": entries}, indent=2) + "\n")
  return path


def verify(folder: Path) -> bool:
  """Compares the files of a folder with its manifest; files that it does not list are ignored.

  Args:
    folder: a folder with or without a manifest.

  Returns:
    Whether there is a manifest; without one nothing is checked.

  Raises:
    UserError: naming the first file that is missing or not the same.
  """
  path = folder / NAME
  if not os.path.lexists(path):
    return False
  try:
    listed = read_json(path, inside=folder)["files"]
    expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in listed.items()}
  except (BadFile, KeyError, TypeError, AttributeError) as error:
    reason = f" ({error.reason})" if isinstance(error, BadFile) else ""
    raise UserError(f"{path}: is no manifest{reason}; get the folder anew") from error
  for name, (size, digest) in sorted(expected.items()):
    if not is_inside(folder / name, folder):
      raise UserError(f"{path}: lists '{name}', which leads out of the folder; get it anew")
    if not (folder / name).is_file():
      raise UserError(f"{folder / name}: is missing, though {NAME} lists it; get the folder anew")
    if (folder / name).stat().st_size != size or _digest(folder / name) != digest:
      raise UserError(
        f"{folder / name}: is not what {NAME} lists ({size} bytes of SHA-256 {str(digest)[:12]}..);"
        " get it anew"
      )
  return True


def _names(folder: Path) -> list[str]:
  files = (path for path in folder.rglob("*") if path.is_file())
  names = (path.relative_to(folder).as_posix() for path in files)
  return sorted(name for name in names if name not in (NAME, "MANIFEST.json.tmp"))


def _entry(path: Path) -> dict[str, int | str]:
  return {"bytes": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
  with open_file(path) as file:
    return hashlib.file_digest(file, "sha256").hexdigest()

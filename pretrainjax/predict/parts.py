"""Finished parts of a command that may be stopped: a folder OUT.parts, claimed by one command."""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.untrusted import BadFile, open_file, read_json, replace

_MANIFEST = "manifest.json"


def claim(parts: Path, identity: Mapping[str, Any]) -> None:
  """Makes the folder of parts, or goes on in it where it is of the same command.

  Args:
    parts: the folder of the parts.
    identity: all that the output depends on; plain values.

  Raises:
    UserError: where it holds parts of another command, or cannot be made.
  """
  manifest = parts / _MANIFEST
  if not os.path.lexists(manifest):
    try:
      parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise UserError(f"--out: cannot make '{parts}' ({error.strerror})") from error
    replace(manifest, json.dumps(identity, indent=2))
    return
  try:
    found = dict(read_json(manifest, inside=parts))
  except (BadFile, ValueError, TypeError) as error:
    reason = " ".join(str(error).split())
    raise UserError(f"--out: '{manifest}' cannot be read ({reason}); remove '{parts}'") from error
  differ = [key for key in identity if found.get(key) != identity[key]]
  if differ:
    raise UserError(
      f"--out: '{parts}' holds parts of another command ({', '.join(differ)} differ); "
      "remove it, or choose another --out"
    )


def write_part(path: Path, **arrays: Any) -> None:
  """Writes the arrays of a part, whole or not at all.

  Args:
    path: the file of the part, .npz.
    **arrays: the arrays by name.
  """
  temporary = path.with_name("unfinished.npz")
  np.savez(temporary, **arrays)
  os.replace(temporary, path)


def read_part(path: Path, *names: str) -> tuple[np.ndarray, ...]:
  """Reads arrays of a part, which may be damaged.

  Args:
    path: the file of the part.
    *names: the names of the arrays.

  Raises:
    Exception: of many kinds for damage, see `damaged`.
  """
  with open_file(path) as file:  # as `savez` writes it, nothing is compressed
    with zipfile.ZipFile(file) as archive:
      if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
        raise ValueError("unpacks to more than it holds")
    file.seek(0)
    part = np.load(file, allow_pickle=False)
    return tuple(np.asarray(part[name]) for name in names)


def damaged(path: Path, error: Exception) -> UserError:
  """What a person is told of a part that cannot be read.

  Args:
    path: the file of the part.
    error: what zip or NumPy raised.
  """
  reason = " ".join(str(error).split())
  return UserError(f"--out: part '{path}' is damaged ({reason}); remove it")

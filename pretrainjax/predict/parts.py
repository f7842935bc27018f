"""Finished parts of a command that may be stopped: a folder OUT.parts, claimed by one command."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def in_parts(
  folder: Path,
  num_examples: int,
  *,
  size: int,
  names: Sequence[str],
  make: Callable[[int, int], Mapping[str, Any]],
) -> Iterator[dict[str, np.ndarray]]:
  """Yields the arrays of all parts by name, in order; those that lie there are not made again.

  Args:
    folder: the folder of the parts, claimed.
    num_examples: the number of examples of all parts together.
    size: the number of examples of a part; the last one has what is left.
    names: the names of its arrays.
    make: the function of a part's first example and of `size` that makes its arrays.

  Raises:
    UserError: for a part that is damaged.
  """
  for number, start in enumerate(range(0, num_examples, size)):
    path = folder / f"{number:06d}.npz"
    if not path.is_file():
      write_part(path, **make(start, size))
    try:
      found = dict(zip(names, read_part(path, *names), strict=True))
    except Exception as error:  # of zip and NumPy, for damage
      raise damaged(path, error) from error
    yield found


def digest_of_files(paths: Sequence[Path], names: Sequence[str]) -> str:
  """A digest of the names, sizes and times of files, for the identity of a command.

  Args:
    paths: the places of the files.
    names: what each is called in the output.
  """
  digest = hashlib.sha256()
  for path, name in zip(paths, names, strict=True):
    found = path.stat()
    digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode(errors="replace"))
  return digest.hexdigest()


def damaged(path: Path, error: Exception) -> UserError:
  """What a person is told of a part that cannot be read.

  Args:
    path: the file of the part.
    error: what zip or NumPy raised.
  """
  reason = " ".join(str(error).split())
  return UserError(f"--out: part '{path}' is damaged ({reason}); remove it")

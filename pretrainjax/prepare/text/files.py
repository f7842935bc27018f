"""The files of a folder of texts, walked through without holding them all."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.errors import printable
from pretrainjax.prepare.image.files import SPLITS, has_splits
from pretrainjax.prepare.text.document import Unreadable

SUFFIXES = (".txt", ".jsonl", ".parquet")


def files_below(root: Path) -> Iterator[Path | Unreadable]:
  """Texts below a folder in a fixed order, or the one file that `root` is.

  What is passed over comes too: links out of the folder or to nowhere, linked folders, hidden files
  and whatever has no suffix of a text.
  """
  if root.is_file():
    yield root
    return
  real = root.resolve()
  closed: list[OSError] = []
  for folder, folders, names in os.walk(root, onerror=closed.append):
    for name in sorted(folders):
      if Path(folder, name).is_symlink():  # os.walk does not enter it
        key = spelled(Path(folder, name).relative_to(root).as_posix())
        yield Unreadable(key, "linked folder", fault=False)
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    for name in sorted(names):
      path = Path(folder, name)
      reason = _why_not(path, real)
      if reason:
        yield Unreadable(spelled(path.relative_to(root).as_posix()), reason, fault=False)
      else:
        yield path
  for error in closed:
    key = Path(error.filename).relative_to(root).as_posix()
    yield Unreadable(spelled(key), f"folder that cannot be read ({error.strerror})")


def _why_not(path: Path, root: Path) -> str | None:
  if path.name.startswith("."):
    return "hidden file"
  if path.suffix.lower() not in SUFFIXES:
    return "no text by its name"
  if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
    return "link out of the folder"
  if os.path.isfile(path):
    return None
  return "link to nothing" if path.is_symlink() else "no plain file"


def split_folders(root: Path) -> dict[Path, str | None]:
  """What to walk through, and the split of what is there; None leaves it to the holdout.

  Folders named train, validation, val and test are splits if nothing else is beside them; those
  that are not for training come first.

  Raises:
    UserError: where some folders are splits and some are not.
  """
  if not root.is_dir() or not has_splits(root):
    return {root: None}
  found = [name for name in reversed(SPLITS) if (root / name).is_dir()]
  if found == ["train"]:
    return {root: None}
  return {root / name: {"val": "validation"}.get(name, name) for name in found}


def listing(root: Path) -> tuple[str, int, int]:
  """A digest of names, sizes and times of all files, their number and their bytes."""
  digest, count, size = hashlib.sha256(), 0, 0
  for folder in split_folders(root):
    for path in files_below(folder):
      if isinstance(path, Path):
        status = path.stat()
        name = path.relative_to(root).as_posix().encode("utf-8", "surrogateescape")
        digest.update(b"%s\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
        count, size = count + 1, size + status.st_size
  return digest.hexdigest(), count, size


def spelled(name: str) -> str:
  """A file's name on one line: bytes that are no UTF-8, and line breaks, are spelt out."""
  return printable(name)

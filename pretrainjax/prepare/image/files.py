"""Which files of a folder are images, by their names and places; what is passed over is noted."""

import os
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.errors import UserError
from pretrainjax.prepare.image.collected import Dropped

SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .ppm .pgm".split())
CLOSED = "folder that cannot be read"
SPLITS = ("train", "validation", "val", "test")


def image_files(root: Path, dropped: list[Dropped]) -> list[Path]:
  """Image files below `root`, sorted.

  Args:
    root: the folder.
    dropped: what is passed over is appended: links that lead out of the folder or nowhere, linked
      folders, folders that cannot be read, hidden files and whatever has no suffix of an image.
  """
  real, found = root.resolve(), []
  closed: list[OSError] = []
  for folder, folders, files in os.walk(root, onerror=closed.append):
    for name in sorted(folders):
      path = Path(folder, name)
      if path.is_symlink():  # os.walk does not enter it
        dropped.append(Dropped(path.relative_to(root).as_posix(), "linked folder"))
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    for path in (Path(folder, name) for name in sorted(files)):
      reason = _why_not(path, real)
      if reason:
        dropped.append(Dropped(path.relative_to(root).as_posix(), reason))
      else:
        found.append(path)
  for error in closed:
    folder = Path(error.filename).relative_to(root).as_posix()
    dropped.append(Dropped(folder, CLOSED))
  return sorted(found)


def _why_not(path: Path, root: Path) -> str | None:
  if path.name.startswith("."):  # such as the "._x.jpg" that macOS leaves
    return "hidden file"
  if path.suffix.lower() not in SUFFIXES:
    return "no image by its name"
  if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
    return "link out of the folder"
  if os.path.isfile(path):
    return None
  return "link to nothing" if path.is_symlink() else "no plain file"


def has_splits(root: Path) -> bool:
  """Whether the folders in `root` are splits, and not classes.

  Raises:
    UserError: where some are and some are not.
  """
  folders = sorted(_visible_folders(root))
  splits = [path for path in folders if path.name in SPLITS]
  others = [path.name for path in folders if path.name not in SPLITS]
  nested = [path.name for path in splits if any(_visible_folders(path))]
  if nested and others:  # "train" may be a class of vehicles, but classes hold no folders
    raise UserError(
      f"--source: '{root}' holds splits ({', '.join(nested)}) beside '{others[0]}', expected only "
      f"folders named {', '.join(SPLITS)}, or only classes"
    )
  return bool(splits) and not others


def place(path: Path, *, splits: bool) -> tuple[str, str]:
  """Split and class of a file by its path below the root; "" for no class."""
  *folders, _ = path.parts
  split = folders.pop(0) if splits and folders else "train"
  return {"val": "validation"}.get(split, split), folders[0] if folders else ""


def _visible_folders(root: Path) -> Iterator[Path]:
  return (p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))

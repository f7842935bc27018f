"""Folders that are splits, and the classes in them."""

from collections.abc import Iterator
from pathlib import Path

from pretrainjax.errors import UserError

SPLITS = ("train", "validation", "val", "test")


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


def split_folders(root: Path) -> dict[Path, str | None]:
  """The folders to walk through, each with its split; None leaves it to the holdout.

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


def _visible_folders(root: Path) -> Iterator[Path]:
  return (p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))

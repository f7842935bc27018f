"""Where a model of theirs lies: a folder, or a name of their hub, which may be on this disk."""

import importlib
import re
from pathlib import Path
from typing import NamedTuple

from pretrainjax.errors import UserError, nearest, one_line

# A name of the hub, ORG/MODEL or MODEL.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", flags=re.ASCII)
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


class Place(NamedTuple):
  """The folder of a model, and the one that no link may lead out of."""

  folder: Path
  inside: Path


def locate(path: Path) -> Place:
  """Finds the folder of a model.

  Args:
    path: the folder, or the model's name on the hub; a folder that is there goes first.

  Raises:
    UserError: where it is neither a folder nor a model that can be had.
  """
  if path.is_dir():
    return _with_boundary(path)
  if path.exists():
    raise UserError(f"hf:{path}: is a file, expected the folder of config.json")
  if not _NAME.fullmatch(path.as_posix()):
    near = [p.name for p in path.parent.glob("*/") if (p / "config.json").exists()]
    raise UserError(f"hf:{path}: no such folder{nearest(path.name, near)}")
  return _with_boundary(_from_hub(path.as_posix()))


def _with_boundary(folder: Path) -> Place:
  """In the hub's cache files are links to blobs/ beside snapshots/, so that these belong to it."""
  repository = folder.absolute().parent.parent
  if folder.absolute().parent.name == "snapshots" and (repository / "blobs").is_dir():
    return Place(folder, repository)
  return Place(folder, folder)


def _from_hub(name: str) -> Path:
  try:
    hub = importlib.import_module("huggingface_hub")
  except ImportError as error:
    raise UserError(
      f"hf:{name}: no such folder; for a model of the hub `pip install pretrainjax[hf]`"
    ) from error
  download = {"repo_id": name, "allow_patterns": list(_FILES)}
  try:
    return Path(hub.snapshot_download(**download, local_files_only=True))
  except Exception:  # whatever it says of what is not in the cache
    pass
  try:
    return Path(hub.snapshot_download(**download))
  except Exception as error:  # of the network, the server, the name
    raise UserError(
      f"hf:{name}: no such folder, not in the cache of huggingface_hub, and it cannot be fetched: "
      f"{one_line(error)[:200]}"
    ) from error

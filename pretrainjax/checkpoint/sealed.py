"""The metadata of a saved step, read and verified without JAX, so that to look costs no second."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pretrainjax.untrusted import BadFile, read_json

# The folder in a workdir whose folders are steps.
FOLDER = "checkpoints"
ITEMS = ("state", "config", "meta")
# The name that Orbax gives to the file of a JSON item.
FILE = "metadata"


class Damaged(Exception):
  """A checkpoint is not what was saved."""


def steps(workdir: Path) -> list[int]:
  """The saved steps of a run, newest first; empty and partial folders do not count."""
  return sorted((s for s in numbered(workdir) if is_whole(workdir / FOLDER / str(s))), reverse=True)


def numbered(workdir: Path) -> list[int]:
  """The numbers of all folders of steps, partial ones too, in no order."""
  folder = workdir / FOLDER
  found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
  return [int(name) for name in found if name.isdecimal() and str(int(name)) == name]


def is_whole(folder: Path) -> bool:
  """Whether all parts of a step are there."""
  return all((folder / item).is_dir() for item in ITEMS)


def read(folder: Path) -> tuple[dict[str, Any], Any]:
  """Reads the items "meta" and "config" of a step and verifies them.

  Args:
    folder: the folder of the step, which is named by its number.

  Raises:
    Damaged: where one of them is not what was saved, or the folder is a copy of another step.
  """
  meta, config = (_json(folder, item) for item in ("meta", "config"))
  if not isinstance(meta, dict):
    raise Damaged("meta is no dictionary")
  if meta.get("seal") != digest({k: v for k, v in meta.items() if k != "seal"}):
    raise Damaged("checksum differs in meta")
  if meta["config"] != digest(config):
    raise Damaged("checksum differs in config")
  if str(meta["step"]) != folder.name:
    raise Damaged(f"is a copy of step {meta['step']}")
  return meta, config


def digest(value: Any) -> str:
  """The SHA-256 of plain values, whatever the order of their keys."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _json(folder: Path, item: str) -> Any:
  # Not by way of Orbax, who would have all processes wait where one of them fails.
  try:
    return read_json(folder / item / FILE, inside=folder)
  except BadFile as error:
    raise Damaged(f"{item} {error.reason}") from error

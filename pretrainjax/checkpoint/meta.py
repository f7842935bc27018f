"""What a checkpoint says of itself, so that whoever reads it can tell whether it is whole."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax

from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.checkpoint.named import differences, listing

ITEMS = ("state", "config", "meta")
# Orbax's name of the file that an item of JSON is.
FILE = "metadata"


class Damaged(Exception):
  """A checkpoint is not what was saved."""


def describe(step: int, state: Any, config: Any, *, metric: float | None) -> dict[str, Any]:
  """The item "meta" of a checkpoint.

  Args:
    step: its name.
    state: named tree of arrays.
    config: what becomes the item "config".
    metric: the number that decides whether it stays as one of the best; None without one.
  """
  meta = {"step": step, "fingerprint": fingerprint(state), "arrays": listing(state)}
  meta |= {"jax": jax.__version__, "layout": layout(), "metric": metric, "config": _digest(config)}
  return meta | {"seal": _digest(meta)}


def read(folder: Path) -> tuple[dict[str, Any], Any]:
  """The items "meta" and "config" of a step's folder, verified.

  Args:
    folder: named by the step.

  Raises:
    Damaged: where one of them is not what was saved, or the folder is a copy of another step.
  """
  meta, config = (_json(folder, item) for item in ("meta", "config"))
  if not isinstance(meta, dict):
    raise Damaged("meta is no dictionary")
  if meta.get("seal") != _digest({k: v for k, v in meta.items() if k != "seal"}):
    raise Damaged("checksum differs in meta")
  if meta["config"] != _digest(config):
    raise Damaged("checksum differs in config")
  if str(meta["step"]) != folder.name:
    raise Damaged(f"is a copy of step {meta['step']}")
  return meta, config


def check_arrays(meta: dict[str, Any], found: Any) -> None:
  """Raises Damaged where a checkpoint's arrays are not named and shaped as they were saved.

  Args:
    meta: of the checkpoint.
    found: tree of what the storage says of its arrays.
  """
  rows = differences(meta["arrays"], listing(found))
  if rows:
    raise Damaged(f"{rows[0].path} was saved as {rows[0].saved} and is {rows[0].wanted}")


def check_fingerprint(meta: dict[str, Any], state: Any) -> None:
  """Raises Damaged where the bits of an array are not those that were saved.

  Args:
    meta: of the checkpoint.
    state: named tree of the arrays that were read; all processes come here together.
  """
  saved, found = meta["fingerprint"], fingerprint(state)
  wrong = sorted(path for path in saved.keys() | found if saved.get(path) != found.get(path))
  if wrong:
    raise Damaged(f"checksum differs in {len(wrong)} arrays, first {wrong[0]}")


def layout() -> str:
  """What divides the work, as far as it moves the last digits of numbers."""
  devices, processes = jax.device_count(), jax.process_count()
  plural = "s" if devices > 1 else "", "es" if processes > 1 else ""
  return f"{devices} device{plural[0]} of {processes} process{plural[1]}"


def _json(folder: Path, item: str) -> Any:
  # Not by way of Orbax, who would have all processes wait where one of them fails.
  try:
    return json.loads((folder / item / FILE).read_bytes())
  except OSError as error:
    raise Damaged(f"{item} cannot be read ({error.strerror})") from error
  except (ValueError, RecursionError) as error:
    raise Damaged(f"{item} is no JSON") from error


def _digest(value: Any) -> str:
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()

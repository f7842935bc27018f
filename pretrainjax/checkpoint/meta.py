"""The metadata of a checkpoint, by which a reader can verify that it is what was saved."""

from collections.abc import Mapping
from typing import Any

import jax

from pretrainjax.checkpoint.array_names import describe_arrays, differences
from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.checkpoint.sealed import Damaged, digest


def describe(
  step: int,
  state: Any,
  config: Any,
  *,
  interval: Mapping[str, Any] | None = None,
  made_with: dict[str, Any] | None = None,
) -> dict[str, Any]:
  """Makes the item "meta" of a checkpoint.

  Args:
    step: the number of the step.
    state: the arrays, as of `nested_by_name`.
    config: the config, as plain values, which becomes the item "config".
    interval: the metrics of steps that no row has yet, see `train/interval.py`; None without any.
    made_with: what the run is made with, see `workdir.provenance`; None is not known.

  Returns:
    Plain values: step, fingerprints, dtypes and shapes, layout, interval, `made_with`, and two
    SHA-256 sums.
  """
  meta = {"step": step, "fingerprint": fingerprint(state), "arrays": describe_arrays(state)}
  meta |= {"jax": jax.__version__, "layout": layout(), "config": digest(config)}
  meta |= {"interval": dict(interval or {})}
  meta |= {} if made_with is None else {"made_with": made_with}
  return meta | {"seal": digest(meta)}


def check_arrays(meta: dict[str, Any], found: Any) -> None:
  """Compares the names, dtypes and shapes of a checkpoint's arrays with those that were saved.

  Args:
    meta: the item "meta" of the checkpoint.
    found: a tree of the shapes and dtypes that the storage lists.

  Raises:
    Damaged: naming the first array that differs.
  """
  rows = differences(meta["arrays"], describe_arrays(found))
  if rows:
    raise Damaged(f"{rows[0].path} was saved as {rows[0].saved} and is {rows[0].wanted}")


def check_fingerprint(meta: dict[str, Any], state: Any, *, is_part: bool = False) -> None:
  """Compares the checksums of the arrays with those that were saved; all processes call it.

  Args:
    meta: the item "meta" of the checkpoint.
    state: the arrays that were read, as of `nested_by_name`.
    is_part: whether others were saved too, which were not read.

  Raises:
    Damaged: naming the first array whose bits differ.
  """
  saved, found = meta["fingerprint"], fingerprint(state)
  paths = found.keys() if is_part else saved.keys() | found
  wrong = sorted(path for path in paths if saved.get(path) != found.get(path))
  if wrong:
    raise Damaged(f"checksum differs in {len(wrong)} arrays, first {wrong[0]}")


def layout() -> str:
  """The number of devices and processes, on which the last digits of a run's numbers depend."""
  devices, processes = jax.device_count(), jax.process_count()
  plural = "s" if devices > 1 else "", "es" if processes > 1 else ""
  return f"{devices} device{plural[0]} of {processes} process{plural[1]}"

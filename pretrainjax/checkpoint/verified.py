"""Reads the arrays of one step and verifies them against their checksums."""

import contextlib
import gc
import logging
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from pretrainjax.checkpoint.array_names import (
  describe_arrays,
  differences,
  leaf_at,
  nested_by_name,
  refuse_differences,
)
from pretrainjax.checkpoint.meta import check_arrays, check_fingerprint, layout
from pretrainjax.checkpoint.sealed import Damaged, read
from pretrainjax.checkpoint.step_files import check_files
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import gather

# Seconds in which none of the abandoned reads of a damaged checkpoint ends, and waiting does.
_READS = 1.0
_log = logging.getLogger(__name__)


def restore(manager: ocp.CheckpointManager, folder: Path, target: Any) -> tuple[Any, str]:
  """Restores the state of a step on all processes together, which agree whether it is intact.

  Args:
    manager: Orbax's manager of the folder above.
    folder: the folder of the step.
    target: a pytree like the one saved, of arrays or ShapeDtypeStructs with shardings.

  Returns:
    The state and "", or None and the reason why it is not intact.

  Raises:
    UserError: where the step is intact, but has other arrays than `target`.
  """
  wanted, state, name = nested_by_name(target), None, f"the restore of {folder.name}"
  meta, reason = _agreed(name, lambda: _check_fits(manager, folder, wanted))
  if not reason:
    state, reason = _agreed(name, lambda: _read(manager, folder, wanted))
  if not reason:
    _, reason = _agreed(name, lambda: check_fingerprint(meta, state))
  if reason:
    return None, reason
  if meta["layout"] != layout():
    _log.warning(
      "step %s was saved by %s and goes on with %s: the same examples in the same order, numbers "
      "equal to float tolerance",
      folder.name,
      meta["layout"],
      layout(),
    )
  return jax.tree_util.tree_map_with_path(lambda path, _: leaf_at(state, path), target), ""


def arrays(manager: ocp.CheckpointManager, folder: Path) -> Any:
  """Reads all arrays of a step onto this process's first device, as nested dicts.

  Args:
    manager: Orbax's manager of the folder above.
    folder: the folder of the step.

  Raises:
    Damaged: where the arrays are not those that were saved.
  """
  meta, _ = read(folder)
  check_files(folder)
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  target = jax.tree.map(
    lambda m: jax.ShapeDtypeStruct(m.shape, m.dtype, sharding=device),
    _stored(manager, folder, meta),
  )
  state = _read(manager, folder, target)
  check_fingerprint(meta, state)
  return state


def some_arrays(folder: Path, target: Any) -> Any:
  """Reads some arrays of a step, each straight to where it belongs.

  Args:
    folder: the folder of the step.
    target: nested dicts of ShapeDtypeStructs with shardings, by the names on disk; the rest of the
      step is not read.

  Raises:
    Damaged: where the arrays are not those that were saved.
    UserError: where the step is intact, but has not these arrays.
  """
  meta, _ = read(folder)
  check_files(folder)
  wanted = describe_arrays(target)
  rows = differences({path: meta["arrays"].get(path, "absent") for path in wanted}, wanted)
  refuse_differences(rows, str(folder), hint="its config does not make these arrays")
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    how = _restore_of_a_part(target)
    state = _read_with(lambda: reader.restore(folder / "state", args=how))
  if rows := differences(wanted, describe_arrays(state)):
    raise Damaged(f"{rows[0].path} was saved as {rows[0].saved} and is {rows[0].wanted}")
  check_fingerprint(meta, state, is_part=True)
  return state


def _restore_of_a_part(target: Any) -> ocp.args.PyTreeRestore:
  how = jax.tree.map(
    lambda leaf: ocp.ArrayRestoreArgs(sharding=leaf.sharding, global_shape=leaf.shape), target
  )
  return ocp.args.PyTreeRestore(item=target, restore_args=how, partial_restore=True)


def _check_fits(manager: ocp.CheckpointManager, folder: Path, wanted: Any) -> dict[str, Any]:
  """The verified meta of a step; UserError where it is intact, but has other arrays than wanted."""
  meta, _ = read(folder)
  check_files(folder)
  rows = differences(describe_arrays(_stored(manager, folder, meta)), describe_arrays(wanted))
  hint = "go on under the config that it was saved with, or choose another --workdir"
  refuse_differences(rows, str(folder), hint=hint)
  return meta


def _stored(manager: ocp.CheckpointManager, folder: Path, meta: dict[str, Any]) -> Any:
  """The shapes and dtypes of a step's arrays, as the storage lists them."""
  stored = manager.item_metadata(int(folder.name))["state"].tree
  check_arrays(meta, stored)
  return stored


def _read(manager: ocp.CheckpointManager, folder: Path, target: Any) -> Any:
  args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
  return _read_with(lambda: manager.restore(int(folder.name), args=args)["state"])


def _read_with(read: Callable[[], Any]) -> Any:
  """What Orbax reads; Damaged for whatever it raises."""
  with _orbax_silenced():
    try:
      return read()
    except Exception as error:  # of many kinds
      reason = _one_line(error)
    _wait_for_reads()
  raise Damaged(reason)


def _wait_for_reads() -> None:
  """Waits for the reads that Orbax abandoned at its first error, which still print errors."""
  count = _count_reads()
  end = time.monotonic() + _READS
  while count and time.monotonic() < end:
    time.sleep(0.1)
    gc.collect()
    before, count = count, _count_reads()
    if count < before:
      end = time.monotonic() + _READS


def _count_reads() -> int:
  coroutines = [thing for thing in gc.get_objects() if type(thing) is types.CoroutineType]
  return sum("orbax" in coroutine.cr_code.co_filename for coroutine in coroutines)


def _agreed(name: str, part: Callable[[], Any]) -> tuple[Any, str]:
  """Calls `part` on all processes; returns its result, and the first reason why one of them failed.

  The reason is "" where none failed. All agree on it before they go on to where they would wait for
  each other.
  """
  result, reason = None, ""
  try:
    result = part()
  except UserError:  # on all of them alike
    raise
  except Exception as error:
    reason = _one_line(error)
  return result, next((said for said in gather(name, reason) if said), "")


def _one_line(error: Exception) -> str:
  # TensorStore goes on for pages.
  text = " ".join(str(error).partition(". See full")[0].split())[:200]
  return text if isinstance(error, Damaged) else f"{type(error).__name__}: {text}"


@contextlib.contextmanager
def _orbax_silenced() -> Iterator[None]:
  """Silences the errors that the abandoned reads of a damaged checkpoint would print."""
  before, sys.unraisablehook = sys.unraisablehook, lambda _: None
  try:
    yield
  finally:
    sys.unraisablehook = before

"""The arrays of one step: read, compared with what was saved, or a reason why not."""

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

from pretrainjax.checkpoint.meta import (
  Damaged,
  check_arrays,
  check_fingerprint,
  layout,
  read,
)
from pretrainjax.checkpoint.named import at, differences, listing, named, refuse
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import gather

# Seconds for the reads of a damaged checkpoint to end by themselves.
_READS = 10.0
_log = logging.getLogger(__name__)


def restore(manager: ocp.CheckpointManager, folder: Path, target: Any) -> tuple[Any, str]:
  """The state of a step, by all processes together, who agree on what came of it.

  Args:
    manager: Orbax's, of the folder above.
    folder: of the step.
    target: a pytree like the one saved, of arrays or ShapeDtypeStructs with shardings.

  Returns:
    The state and "", or None and what is wrong.

  Raises:
    UserError: where the step is intact, but other arrays are wanted.
  """
  wanted, state, name = named(target), None, f"the restore of {folder.name}"
  meta, reason = _together(name, lambda: _fitting(manager, folder, wanted))
  if not reason:
    state, reason = _together(name, lambda: _read(manager, folder, wanted))
  if not reason:
    _, reason = _together(name, lambda: check_fingerprint(meta, state))
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
  return jax.tree_util.tree_map_with_path(lambda path, _: at(state, path), target), ""


def arrays(manager: ocp.CheckpointManager, folder: Path) -> Any:
  """All arrays of a step on the host's first device, as nested dicts; by one process alone.

  Args:
    manager: Orbax's, of the folder above.
    folder: of the step.

  Raises:
    Damaged: where they are not those that were saved.
  """
  meta, _ = read(folder)
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  target = jax.tree.map(
    lambda m: jax.ShapeDtypeStruct(m.shape, m.dtype, sharding=device),
    _stored(manager, folder, meta),
  )
  state = _read(manager, folder, target)
  check_fingerprint(meta, state)
  return state


def _fitting(manager: ocp.CheckpointManager, folder: Path, wanted: Any) -> dict[str, Any]:
  """What a step says of itself; UserError where it is intact, but not what is wanted."""
  meta, _ = read(folder)
  rows = differences(listing(_stored(manager, folder, meta)), listing(wanted))
  hint = "go on under the config that it was saved with, or choose another --workdir"
  refuse(rows, str(folder), hint=hint)
  return meta


def _stored(manager: ocp.CheckpointManager, folder: Path, meta: dict[str, Any]) -> Any:
  """Shapes and dtypes of a step's arrays, as the storage has them."""
  stored = manager.item_metadata(int(folder.name))["state"].tree
  check_arrays(meta, stored)
  return stored


def _read(manager: ocp.CheckpointManager, folder: Path, target: Any) -> Any:
  with _without_words_of_orbax():
    try:
      args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
      return manager.restore(int(folder.name), args=args)["state"]
    except Exception as error:  # of many kinds
      reason = _line(error)
    _outwait_reads()
  raise Damaged(reason)


def _outwait_reads() -> None:
  """Waits for the reads that Orbax abandoned at its first error: each would still complain."""
  end = time.monotonic() + _READS
  while _num_reads() and time.monotonic() < end:
    time.sleep(0.05)
    gc.collect()


def _num_reads() -> int:
  coroutines = [thing for thing in gc.get_objects() if type(thing) is types.CoroutineType]
  return sum("orbax" in coroutine.cr_code.co_filename for coroutine in coroutines)


def _together(name: str, part: Callable[[], Any]) -> tuple[Any, str]:
  """What `part` returns, and what is wrong on any of the processes, "" if nothing is.

  They agree before they go on to where one would wait for the others.
  """
  result, reason = None, ""
  try:
    result = part()
  except UserError:  # on all of them alike
    raise
  except Exception as error:
    reason = _line(error)
  return result, next((said for said in gather(name, reason) if said), "")


def _line(error: Exception) -> str:
  # TensorStore goes on for pages.
  text = " ".join(str(error).partition(". See full")[0].split())[:200]
  return text if isinstance(error, Damaged) else f"{type(error).__name__}: {text}"


@contextlib.contextmanager
def _without_words_of_orbax() -> Iterator[None]:
  """Keeps silent what the abandoned reads of a damaged checkpoint would say one by one."""
  before, sys.unraisablehook = sys.unraisablehook, lambda _: None
  try:
    yield
  finally:
    sys.unraisablehook = before

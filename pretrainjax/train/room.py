"""Refuses a run whose parameters cannot fit into memory, before anything is compiled for it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.process.distributed import agree
from pretrainjax.train.assemble import Run

_CGROUPS = Path("/sys/fs/cgroup")
# cgroup v1 writes a number near 2^63 for no limit.
_NO_LIMIT = 1 << 60


def check_room(run: Run, *, memory: int | None = None) -> None:
  """Refuses parameters that have no room on a device, whatever else is to lie beside them.

  Args:
    run: the run, built from its config.
    memory: the bytes of one device's memory, or of all those of this process where they share it;
      None asks the devices.

  Raises:
    UserError: naming what is needed and what there is.
  """
  state = run.parallel.abstract(run.abstract_state)
  count = 1 if jax.local_devices()[0].memory_stats() else jax.local_device_count()
  memory = _memory() if memory is None else memory
  params = count * _bytes(state.params)
  reason = ""
  if memory is not None and params > memory:
    whole = count * (_bytes(state.params) + _bytes(state))  # a gradient is as large as they are
    reason = (
      f"the parameters need {_gib(params)} of memory, and {_gib(whole)} with gradient and "
      f"optimizer, where {jax.default_backend()} has {_gib(memory)}"
    )
  if reason := agree("room for the parameters", reason):
    raise UserError(
      f"--config.objective: {reason}; a smaller network fits, or more devices that share it "
      "(--config.parallel.mesh.fsdp)"
    )


def _bytes(tree: Any) -> int:
  """The bytes of a tree's arrays on one device."""
  leaves = jax.tree.leaves(tree)
  # In whole numbers of Python: absurd shapes overflow others.
  shapes = [leaf.sharding.shard_shape(leaf.shape) for leaf in leaves]
  sizes = [int(np.prod([int(n) for n in shape], dtype=object)) for shape in shapes]
  return sum(n * leaf.dtype.itemsize for n, leaf in zip(sizes, leaves, strict=True))


def _memory() -> int | None:
  """The bytes of a device's memory; of one that has none of its own those of the machine."""
  stats = jax.local_devices()[0].memory_stats()
  if stats:
    return stats.get("bytes_limit")
  if jax.default_backend() != "cpu":
    return None
  limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
  limits += group_limits(_text(Path("/proc/self/cgroup")), root=_CGROUPS)
  return min(limits) + _swap()


def _swap() -> int:
  """The bytes of the machine's swap space, which may hold more than memory does."""
  found = re.search(r"^SwapTotal: *(\d+) kB", _text(Path("/proc/meminfo")), re.MULTILINE)
  return 1024 * int(found[1]) if found else 0


def group_limits(groups: str, *, root: Path) -> Iterator[int]:
  """The limits in bytes of the control groups that a process is in.

  Args:
    groups: the process's /proc/PID/cgroup, a line "number:kinds:path" for each.
    root: the folder where the groups lie.
  """
  for line in groups.splitlines():
    kinds, _, path = line.partition(":")[2].partition(":")
    if kinds in ("", "memory"):
      # Within a container the path may be the host's: then the root is its own.
      for folder in (root / kinds, *(root / kinds / part for part in _ancestors(path))):
        for name in ("memory.max", "memory.limit_in_bytes"):
          limit = _text(folder / name).strip()
          if limit.isdecimal() and int(limit) < _NO_LIMIT:  # not "max"
            yield int(limit)


def _ancestors(path: str) -> list[str]:
  """The path of a group below the root and those of the groups that it lies in."""
  parts = path.strip("/").split("/")
  return ["/".join(parts[: n + 1]) for n in range(len(parts))] if parts != [""] else []


def _text(path: Path) -> str:
  """A file of the system; "" where it is not there."""
  try:
    return path.read_text()
  except OSError:
    return ""


def _gib(size: int) -> str:
  return f"{size / 2**30:,.1f} GiB"

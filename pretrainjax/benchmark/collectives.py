"""What devices send to each other in a step, read from the text of the compiled program."""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pretrainjax.benchmark.device_groups import first_group, furthest_pair
from pretrainjax.benchmark.program_text import (
  Computation,
  Instruction,
  Program,
  branches,
  calls,
  parse,
  sizes,
  trip_count,
)

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
  "collective-broadcast",
)
# Results that hold what their operand holds: a look at a value passes through them.
_SAME = {"bitcast", "convert", "copy", "get-tuple-element", "reshape", "transpose"}
# Their functions are of numbers, and many; the end of an asynchronous exchange names its beginning.
_NO_CALLS = {"fusion", "reduce", "async-done", "async-update"}


@dataclasses.dataclass(frozen=True)
class Collective:
  """One exchange between devices in a training step.

  Attributes:
    kind: one of KINDS, as an accelerator's compiler would have it.
    written: the kind that stands in the text. XLA's CPU compiler has no pass that makes
      reduce-scatter; where every use of an all-reduce is this device's part of it, `kind` is
      "reduce-scatter".
    array_bytes: the bytes of the whole array, that every device of a group sends from or ends up
      with.
    group: the numbers of the devices that take part together, of the first group; of a permutation
      the two that are furthest from each other.
    times: how often a step does it: the product of the loops that it stands in.
    source: the operation of our code, "jit(train_step)/...", or "" where that was lost.
  """

  kind: str
  written: str
  array_bytes: int
  group: tuple[int, ...]
  times: int
  source: str

  @property
  def group_size(self) -> int:
    """The number of devices that take part together."""
    return len(self.group)

  @property
  def wire_bytes(self) -> float:
    """The bytes that each device sends in a step, if by a ring, whatever the real algorithm is."""
    return self.times * self.array_bytes * ring_factor(self.kind, self.group_size)


def ring_factor(kind: str, group_size: int) -> float:
  """The bytes that a device of a ring sends for each byte of the array.

  Args:
    kind: the kind of the exchange, one of KINDS.
    group_size: the number n of devices; a ring reduces in n - 1 steps of 1/n of the array, and
      gathers in as many.

  >>> ring_factor("all-reduce", 4), ring_factor("all-gather", 4), ring_factor("all-reduce", 1)
  (1.5, 0.75, 0.0)
  """
  if kind.startswith("collective-"):
    return 1.0 if group_size > 1 else 0.0
  share = (group_size - 1) / group_size
  return 2 * share if kind == "all-reduce" else share


def read_collectives(text: str) -> list[Collective]:
  """Reads the exchanges of one step off the text of the compiled program.

  Args:
    text: the text of `jax.stages.Compiled.as_text()`.

  Returns:
    One for each array of each instruction that is reached, in the program's order. Of branches
    the dearest counts.

  Raises:
    ValueError: for a loop with exchanges of which nobody knows how often it runs, or groups of
      devices written in an unknown way.
  """
  program = parse(text)
  return list(_of_computation(program.entry, 1, program))


def wire_bytes(collectives: Iterable[Collective]) -> float:
  """The bytes that each device sends in a step, of all exchanges together."""
  return math.fsum(c.wire_bytes for c in collectives)


def by_kind(collectives: Iterable[Collective]) -> dict[str, dict[str, int | float]]:
  """The number of exchanges and their bytes in a step, by kind."""
  totals: dict[str, dict[str, int | float]] = {}
  for collective in collectives:
    _add(totals.setdefault(collective.kind, dict(_NOTHING)), collective)
  return dict(sorted(totals.items()))


def by_group(collectives: Iterable[Collective]) -> list[dict[str, Any]]:
  """The number of exchanges and their bytes in a step, by kind and group of devices."""
  totals: dict[tuple, dict[str, int | float]] = {}
  for collective in collectives:
    key = (collective.kind, collective.group)
    _add(totals.setdefault(key, dict(_NOTHING)), collective)
  rows = sorted(totals.items())
  return [{"kind": kind, "group": list(group), **total} for (kind, group), total in rows]


_NOTHING = {"count": 0, "array_bytes": 0, "wire_bytes": 0.0}


def _add(total: dict[str, int | float], collective: Collective) -> None:
  total["count"] += collective.times
  total["array_bytes"] += collective.times * collective.array_bytes
  total["wire_bytes"] += collective.wire_bytes


def _of_computation(name: str, times: int, program: Program) -> Iterator[Collective]:
  computation = program.computations[name]
  for instruction in computation.instructions.values():
    kind = instruction.opcode.removesuffix("-start")
    if kind in KINDS:
      yield from _read(instruction, kind, times, computation, program)
    elif instruction.opcode == "while":
      yield from _of_loop(instruction, times, program)
    elif instruction.opcode == "conditional":
      found = [list(_of_computation(n, times, program)) for n in branches(instruction)]
      yield from max(found, key=wire_bytes, default=[])
    elif instruction.opcode not in _NO_CALLS:
      for called in calls(instruction):
        yield from _of_computation(called, times, program)


def _of_loop(loop: Instruction, times: int, program: Program) -> Iterator[Collective]:
  parts = [n for n in map(loop.called, ("body", "condition")) if n]
  once = [c for part in parts for c in _of_computation(part, times, program)]
  if not once:
    return
  trips = trip_count(loop, program)
  if trips is None:
    raise ValueError(f"the loop {loop.name} has exchanges, and no known number of rounds")
  yield from (dataclasses.replace(c, times=c.times * trips) for c in once)


def _read(
  instruction: Instruction, kind: str, times: int, computation: Computation, program: Program
) -> Iterator[Collective]:
  """One for each array of a sum, whose uses differ; one for all arrays of another exchange."""
  if kind == "collective-permute":
    group = furthest_pair(instruction.attributes)
  else:
    group = first_group(instruction.attributes, program.num_devices)
  if group is None:
    raise ValueError(f"{instruction.name}: no replica_groups of a known form")
  arrays = [sum(sizes(computation.instructions[o].type)) for o in instruction.operands]
  common = {"group": group, "times": times, "source": instruction.source, "written": kind}
  if kind != "all-reduce":
    array_bytes = sum(arrays) * (len(group) if kind == "all-gather" else 1)
    yield Collective(kind=kind, array_bytes=array_bytes, **common)
    return
  # A CPU adds 16-bit numbers as 32-bit ones, others do not.
  promoted = "promoted" in (instruction.called("to_apply") or "")
  for place, array_bytes in enumerate(arrays):
    index = place if len(arrays) > 1 else None
    scattered = _is_scattered(instruction, index, len(group), computation, program)
    yield Collective(
      kind="reduce-scatter" if scattered else kind,
      array_bytes=array_bytes // 2 if promoted else array_bytes,
      **common,
    )


def _is_scattered(
  instruction: Instruction,
  index: int | None,
  group_size: int,
  computation: Computation,
  program: Program,
) -> bool:
  """Whether of a sum each device of the group uses its own part alone.

  Args:
    instruction: the all-reduce.
    index: which of its results; None where it has one.
    group_size: of its groups.
    computation: that it stands in.
    program: all.
  """
  users = computation.users(instruction.name)
  if index is not None:
    users = [u for u in users if f"index={index}" in re.findall(r"index=\d+", u.attributes)]
  if not users or instruction.is_root:
    return False
  return all(
    _takes_part(user, instruction.name, group_size, computation, program) for user in users
  )


def _takes_part(
  user: Instruction, name: str, group_size: int, computation: Computation, program: Program
) -> bool:
  """Whether `user` takes no more of `name` than one of `group_size` parts."""
  if user.opcode == "dynamic-slice" and user.operands[0] == name:
    whole = sum(sizes(computation.instructions[name].type))
    return whole == group_size * sum(sizes(user.type))
  if user.opcode in _SAME:
    following = computation.users(user.name)
    return (
      bool(following)
      and not user.is_root
      and all(_takes_part(u, user.name, group_size, computation, program) for u in following)
    )
  called = user.called("calls")
  if user.opcode != "fusion" or called is None:
    return False
  inner = program.computations[called]
  places = [i for i, operand in enumerate(user.operands) if operand == name]
  parameters = [
    i for i in inner.instructions.values() if i.opcode == "parameter" and int(i.inside) in places
  ]
  return all(
    _fused_part(parameter, user, group_size, inner, computation, program)
    for parameter in parameters
  )


def _fused_part(
  parameter: Instruction,
  fusion: Instruction,
  group_size: int,
  inner: Computation,
  outer: Computation,
  program: Program,
) -> bool:
  """As `_takes_part`, of a parameter of a fusion; one that only converts it is looked through."""
  value, users = parameter, inner.users(parameter.name)
  while len(users) == 1 and users[0].opcode in _SAME and not users[0].is_root:
    value, users = users[0], inner.users(users[0].name)
  if len(users) == 1 and users[0].is_root and users[0].opcode in _SAME:
    following = outer.users(fusion.name)
    return (
      bool(following)
      and not fusion.is_root
      and all(_takes_part(u, fusion.name, group_size, outer, program) for u in following)
    )
  return bool(users) and all(_takes_part(u, value.name, group_size, inner, program) for u in users)

"""Which devices an exchange joins, from the forms in which XLA writes that."""

import itertools
import math
import re

import numpy as np

_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_RANGE = r"\[([\d,]+)\](?:<=\[([\d,]+)\])?(?:T\(([\d,]+)\))?"
_ROWS = re.compile(rf"replica_groups={_RANGE}")
_MESH = re.compile(
  r"replica_groups=@?mesh[\[<]([^\]>]*)[\]>](?:, device_ids=\(([^{}]*)\))? \{([^}]*)\}"
)


def first_group(attributes: str, num_devices: int) -> tuple[int, ...] | None:
  """The numbers of the devices of the first group, None where the text's form is not known.

  Args:
    attributes: the attributes of the instruction, as they stand in the text.
    num_devices: the number of devices that run the program.

  >>> first_group("replica_groups={{0,2},{1,3}}, to_apply=%add", 4)
  (0, 2)
  >>> first_group("replica_groups=[2,2]<=[2,2]T(1,0), to_apply=%add", 4)
  (0, 2)
  >>> first_group("replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'a'}", 8)
  (0, 1)
  >>> first_group("replica_groups=mesh['a'=2,'b'=4] {'b':(1)2,'a'}", 8)
  (0, 4, 2, 6)
  """
  if "replica_groups={}" in attributes:
    return tuple(range(num_devices))
  if match := _LISTED.search(attributes):
    return tuple(_numbers(match.group(1)))
  if match := _ROWS.search(attributes):
    shape, dimensions, order = match.groups()
    return tuple(_range(dimensions or shape, order).reshape(_numbers(shape))[0].tolist())
  if match := _MESH.search(attributes):
    return _mesh_group(*match.groups())
  return None


def furthest_pair(attributes: str) -> tuple[int, ...]:
  """The two devices of a permutation that are furthest from each other; one if none moves.

  >>> furthest_pair("source_target_pairs={{0,1},{1,2},{2,0}}")
  (2, 0)
  """
  pairs = re.findall(r"\{(\d+),(\d+)\}", attributes)
  source, target = max(
    ((int(a), int(b)) for a, b in pairs), key=lambda p: abs(p[0] - p[1]), default=(0, 0)
  )
  return (source, target) if source != target else (source,)


def _mesh_group(axes: str, devices: str | None, joined: str) -> tuple[int, ...] | None:
  """Devices that differ along some axes of a mesh, or parts of axes, and stand at 0 elsewhere.

  Args:
    axes: "'a'=2,'b'=4".
    devices: "[4,2]T(1,0)" or "0,2,1,3"; None has them in order.
    joined: "'a','b':(2)2": of b, cut into (2, 2, the rest), the second part.
  """
  sizes = {name: int(size) for name, size in re.findall(r"'?(\w+)'?=(\d+)", axes)}
  count = math.prod(sizes.values())
  numbers = np.arange(count)
  if devices:
    match = re.fullmatch(_RANGE, devices)
    numbers = _range(match.group(2) or match.group(1), match.group(3)) if match else None
    numbers = np.array(_numbers(devices)) if numbers is None else numbers
  mesh, names = numbers.reshape(list(sizes.values())), list(sizes)
  steps = []  # how far along which axis each joined part goes
  for name, before, length in re.findall(r"'?(\w+)'?(?::\((\d+)\)(\d+))?", joined):
    if name not in sizes:
      return None
    length = int(length or sizes[name])
    stride = sizes[name] // (int(before or 1) * length)
    steps.append([(names.index(name), i * stride) for i in range(length)])
  group = []
  for moves in itertools.product(*steps):
    place = [0] * len(names)
    for axis, offset in moves:
      place[axis] += offset
    group.append(int(mesh[tuple(place)]))
  return tuple(group)


def _range(dimensions: str, order: str | None) -> np.ndarray:
  """0, 1, ... in an array whose axes are then reordered."""
  lengths = _numbers(dimensions)
  numbers = np.arange(math.prod(lengths)).reshape(lengths)
  return numbers.transpose(_numbers(order)) if order else numbers


def _numbers(text: str) -> list[int]:
  return [int(n) for n in text.split(",") if n.strip()]

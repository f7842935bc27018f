"""What each stored tensor of a model is to the table of its class, and our arrays made of them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from pretrainjax.convert.family import Table
from pretrainjax.convert.table import to_ours
from pretrainjax.errors import UserError


class Matched(NamedTuple):
  """The stored names of a model's tensors, by what they are to the table of its class.

  Attributes:
    named: what our parameters are made of, by the names of the table.
    tied: second copies, each with the stored name of the first.
    fixed: what is no parameter of ours, each with the numbers that it must hold.
    fillers: the table's fillers that are there, by the names of the table.
    left: what belongs to objectives that we lack.
  """

  named: dict[str, str]
  tied: dict[str, str]
  fixed: dict[str, np.ndarray]
  fillers: dict[str, str]
  left: tuple[str, ...]


def match(table: Table, stored: Iterable[str]) -> Matched:
  """Tells stored tensors apart by their names.

  Args:
    table: the table of the class.
    stored: the names of the tensors that are there.

  Raises:
    UserError: for two names of one tensor, or a missing one that is no parameter of ours.
  """
  named = _by_plain_name(table, stored)
  known = {rule.theirs for rule in table.rules}
  others = [n for n in named if n not in known and _is_any(n, table.others)]
  left = tuple(named.pop(name) for name in others)
  fillers = {name: named.pop(name) for name in table.fillers if name in named}
  if missing := [name for name in table.constants if name not in named]:
    raise UserError(f"conversion: missing tensors {', '.join(missing)}")
  fixed = {named.pop(name): value for name, value in table.constants.items()}
  tied = {}
  for copy, original in table.copies.items():
    if copy in named and original not in named:
      named[original] = named.pop(copy)
    elif copy in named:
      tied[named.pop(copy)] = named[original]
  return Matched(named, tied, fixed, fillers, left)


def arrays_of(
  table: Table,
  matched: Matched,
  tensors: Mapping[str, Any],
  *,
  wanted: Mapping[str, tuple[int, ...]],
  finish: Callable[[str, np.ndarray], Any] = lambda path, leaf: leaf,
  only: str = "",
) -> dict[str, Any]:
  """Makes our arrays of stored tensors, nested dicts of what `finish` makes of each.

  Args:
    table: the table of the class.
    matched: what each tensor is to it, as of `match`.
    tensors: the tensors by their stored names.
    wanted: the shape of each of our parameters by its path.
    finish: the function that makes what is returned of each path and value.
    only: what begins the paths of those that are made, "encoder/"; "" makes all.

  Raises:
    UserError: for tensors that are missing, left over, or not what the table has.
  """
  for name, expected in matched.fixed.items():
    found = tensors[name]
    if found.shape != expected.shape or not np.allclose(found, expected, atol=1e-5):
      raise UserError(f"conversion: {name} is not the fixed sine-cosine table")
  for copy, original in matched.tied.items():
    if not np.array_equal(tensors[copy], tensors[original]):
      raise UserError(f"conversion: {copy} is not tied to {original}, as our model has it")
  named = _Renamed(tensors, matched.named)
  return to_ours(table.rules, named, wanted=wanted, finish=finish, only=only)


def _by_plain_name(table: Table, stored: Iterable[str]) -> dict[str, str]:
  """The stored name of each tensor by its name in the table, without buffers."""
  named: dict[str, str] = {}
  for name in stored:
    plain = table.plain(name)
    if _is_any(plain, table.buffers):
      continue
    if plain in named:
      raise UserError(f"conversion: tensors {named[plain]} and {name} are both {plain}")
    named[plain] = name
  return named


def _is_any(name: str, patterns: tuple[str, ...]) -> bool:
  return any(re.search(pattern, name) for pattern in patterns)


class _Renamed(Mapping):
  """Tensors by other names, each still read when it is asked for."""

  def __init__(self, tensors: Mapping[str, Any], names: Mapping[str, str]):
    self._tensors, self._names = tensors, names

  def __getitem__(self, name: str) -> Any:
    return self._tensors[self._names[name]]

  def __contains__(self, name: object) -> bool:
    return name in self._names  # which a Mapping by itself would read it for

  def __iter__(self) -> Iterator[str]:
    return iter(self._names)

  def __len__(self) -> int:
    return len(self._names)

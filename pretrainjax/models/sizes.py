"""Sizes of networks by name, out of a table that gives their sources."""

from collections.abc import Mapping
from typing import Any

from pretrainjax.errors import nearest


def named_size(name: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
  """The arguments that the name of a size stands for.

  Args:
    name: the name of a size, such as "base".
    sizes: a NamedTuple of arguments by name.

  Raises:
    ValueError: for a name that is none.
  """
  if name not in sizes:
    raise ValueError(f"size '{name}'{nearest(name, sizes)}")
  return sizes[name]._asdict()

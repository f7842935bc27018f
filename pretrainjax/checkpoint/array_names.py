"""The names of a state's arrays, as on disk, and tables of the differences between two states."""

import logging
from typing import Any, NamedTuple

import jax

from pretrainjax.errors import UserError

# The most rows that a table shows.
_ROWS = 40
_log = logging.getLogger(__name__)


class Difference(NamedTuple):
  """An array whose dtype or shape differs; "absent" stands for an array that one side lacks."""

  path: str
  saved: str
  wanted: str


def nested_by_name(state: Any) -> dict[str, Any]:
  """A pytree as nested dicts with string keys, so that names on disk say what they hold."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  tree: dict[str, Any] = {}
  for path, leaf in leaves:
    *parents, last = [_name(key) for key in path]
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return tree


def leaf_at(tree: Any, path: tuple) -> Any:
  """The leaf of nested dicts of `nested_by_name`, by its path in the pytree they were made from."""
  for key in path:
    tree = tree[_name(key)]
  return tree


def describe_arrays(tree: Any) -> dict[str, str]:
  """The dtype and shape of each array, "float32[4, 4]", by its path, "params.head.bias"."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    ".".join(_name(key) for key in path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves
  }


def differences(saved: dict[str, str], wanted: dict[str, str]) -> list[Difference]:
  """The differences between two results of `describe_arrays`, sorted by path."""
  rows = [Difference(p, saved.get(p, "absent"), wanted.get(p, "absent")) for p in saved | wanted]
  # The optimizer's rows repeat those of the parameters.
  return sorted(
    (row for row in rows if row.saved != row.wanted),
    key=lambda row: (row.path.startswith("opt_state"), row),
  )


def refuse_differences(rows: list[Difference], where: str, *, hint: str) -> None:
  """Refuses saved arrays that differ from what is wanted; nothing is cast, padded or cut to fit.

  The table goes to the log, the first rows of it into the message.

  Args:
    rows: the differences, none of which is right.
    where: the checkpoint, for the message.
    hint: what the user may do.

  Raises:
    UserError: where there is any difference, with the first three of them.
  """
  if not rows:
    return
  _log.warning("%s: what was saved does not fit\n%s", where, differences_table(rows))
  first = "; ".join(f"{row.path} saved {row.saved} wanted {row.wanted}" for row in rows[:3])
  more = f"; and {len(rows) - 3} more in the table above" if len(rows) > 3 else ""
  count = f"{len(rows)} arrays do" if len(rows) > 1 else "1 array does"
  raise UserError(f"{where}: {count} not fit: {first}{more}; {hint}")


def differences_table(rows: list[Difference]) -> str:
  """A table of the differences with the columns path, saved and wanted."""
  shown = [Difference._fields, *rows[:_ROWS]]
  widths = [max(len(row[column]) for row in shown) for column in range(2)]
  lines = [f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in shown]
  lines += [f"  and {len(rows) - _ROWS} more"] if len(rows) > _ROWS else []
  return "\n".join(lines)


def _name(key: Any) -> str:
  return jax.tree_util.keystr((key,), simple=True)

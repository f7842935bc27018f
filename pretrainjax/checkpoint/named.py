"""A state as nested dicts of names, and the table of what differs between two of them."""

import logging
from typing import Any, NamedTuple

import jax

from pretrainjax.errors import UserError

# Rows that a message has room for.
_ROWS = 40
_log = logging.getLogger(__name__)


class Difference(NamedTuple):
  """One array that is not the same on both sides; "absent" stands for none."""

  path: str
  saved: str
  wanted: str


def named(state: Any) -> dict[str, Any]:
  """The state as nested dicts with string keys, so that names on disk say what they hold."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  tree: dict[str, Any] = {}
  for path, leaf in leaves:
    *parents, last = [_name(key) for key in path]
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return tree


def at(tree: Any, path: tuple) -> Any:
  """The leaf of a named tree at the path of another pytree."""
  for key in path:
    tree = tree[_name(key)]
  return tree


def listing(tree: Any) -> dict[str, str]:
  """What each array is, such as "float32[4, 4]", by its path, such as "params.head.bias"."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    ".".join(_name(key) for key in path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves
  }


def differences(saved: dict[str, str], wanted: dict[str, str]) -> list[Difference]:
  """What differs between two of `listing`, by path."""
  rows = [Difference(p, saved.get(p, "absent"), wanted.get(p, "absent")) for p in saved | wanted]
  # The optimizer's rows repeat those of the parameters.
  return sorted(
    (row for row in rows if row.saved != row.wanted),
    key=lambda row: (row.path.startswith("opt_state"), row),
  )


def refuse(rows: list[Difference], where: str, *, hint: str) -> None:
  """Raises UserError unless there is no difference; nothing is cast, padded or cut to fit.

  The table goes to the log, the first rows of it into the message.

  Args:
    rows: of `differences`.
    where: that was saved.
    hint: what to do.
  """
  if not rows:
    return
  _log.warning("%s: what was saved does not fit\n%s", where, table(rows))
  first = "; ".join(f"{row.path} saved {row.saved} wanted {row.wanted}" for row in rows[:3])
  more = f"; and {len(rows) - 3} more in the table above" if len(rows) > 3 else ""
  count = f"{len(rows)} arrays do" if len(rows) > 1 else "1 array does"
  raise UserError(f"{where}: {count} not fit: {first}{more}; {hint}")


def table(rows: list[Difference]) -> str:
  """The rows below each other, under path, saved, wanted."""
  shown = [Difference._fields, *rows[:_ROWS]]
  widths = [max(len(row[column]) for row in shown) for column in range(2)]
  lines = [f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in shown]
  lines += [f"  and {len(rows) - _ROWS} more"] if len(rows) > _ROWS else []
  return "\n".join(lines)


def _name(key: Any) -> str:
  return jax.tree_util.keystr((key,), simple=True)

"""Transfers saved arrays into another network, and lists what became of each one."""

import fnmatch
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.models.layers.position import resize_position_table

# A learned table of positions is the one array whose shape may follow the image size.
_POSITIONS = "*position*"


class Transfer(NamedTuple):
  """The result of `transfer`.

  Attributes:
    params: the parameters of the target, with saved arrays where the source has them.
    loaded: the paths that were taken from the source.
    resized: the paths among them that were interpolated to another grid, or cut to another length.
    fresh: the paths of the target that the source lacks.
    unused: the paths of the source that the target lacks.
  """

  params: Any
  loaded: list[str]
  resized: list[str]
  fresh: list[str]
  unused: list[str]

  def summary(self) -> str:
    """The lists in one line for the log."""
    parts = [f"loaded {len(self.loaded)} arrays"]
    if self.resized:
      parts.append(f"of them resized {', '.join(self.resized)}")
    parts.append(f"new: {', '.join(self.fresh) or 'none'}")
    parts.append(f"left behind: {', '.join(self.unused) or 'none'}")
    return "; ".join(parts)


def transfer(
  source: Mapping[str, Any],
  target: Mapping[str, Any],
  *,
  allow_fresh: tuple[str, ...] = (),
  allow_unused: tuple[str, ...] = (),
  part: str = "encoder",
) -> Transfer:
  """Fills `target` with the arrays of `source` that have the same path.

  Args:
    source: the saved parameters, nested dicts of arrays.
    target: the new parameters, nested dicts of arrays.
    allow_fresh: the patterns ("pool_norm/*") of target paths that the source may lack.
    allow_unused: the patterns of source paths that the target may lack.
    part: the name of the part that both are, for messages.

  Returns:
    The filled parameters, and the lists of paths.

  Raises:
    UserError: for a path that only one of both has and no pattern allows, for a dtype or a
      shape that differs (shapes of tables of positions apart), or where nothing fits at all.
  """
  saved, wanted = _flat(source), _flat(target)
  fresh = [path for path in wanted if path not in saved]
  unused = [path for path in saved if path not in wanted]
  loaded = [path for path in wanted if path in saved]
  wrong = [f"{p}: wanted, not saved" for p in fresh if not _any_match(p, allow_fresh)]
  wrong += [f"{p}: saved, not wanted" for p in unused if not _any_match(p, allow_unused)]
  result, resized = dict(wanted), []
  for path in loaded:
    old, new = saved[path], wanted[path]
    if (old.shape, old.dtype) == (new.shape, new.dtype):
      result[path] = old
    elif old.dtype != new.dtype:  # a cast would be silent
      wrong.append(f"{path}: saved {old.dtype}, wanted {new.dtype}")
    elif fnmatch.fnmatch(path, _POSITIONS) and old.shape[-1] == new.shape[-1]:
      is_text = "token_embedding" in wanted
      result[path] = _cut(old, new.shape) if is_text else _resized(old, new.shape)
      resized.append(path)
    else:
      wrong.append(f"{path}: saved {list(old.shape)}, wanted {list(new.shape)}")
  if wrong or not loaded:
    listed = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
    raise UserError(f"--config.init: the checkpoint does not fit the {part}: {listed}")
  return Transfer(_nested(result), loaded, resized, fresh, unused)


def _cut(table: Any, shape: tuple[int, ...]) -> Any:
  """The first rows of a table of positions of texts, which are a line and no grid."""
  if table.shape[0] < shape[0]:
    raise UserError(
      f"--config.init: positions {list(table.shape)} -> {list(shape)}: those of texts can only be "
      "cut: say --config.changes.max_length with what was trained, or less"
    )
  return table[: shape[0]]


def _resized(table: Any, shape: tuple[int, ...]) -> Any:
  old, new = (round(size**0.5) for size in (table.shape[-2], shape[-2]))
  if old * old != table.shape[-2] or new * new != shape[-2]:
    raise UserError(
      f"--config.init: positions {list(table.shape)} -> {list(shape)}: only square grids resize"
    )
  return np.reshape(
    resize_position_table(np.reshape(table, table.shape[-2:]), (old, old), (new, new)), shape
  )


def _any_match(path: str, patterns: tuple[str, ...]) -> bool:
  return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def _flat(tree: Any) -> dict[str, Any]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {"/".join(str(k.key) for k in path): leaf for path, leaf in leaves}


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
  tree: dict[str, Any] = {}
  for path, leaf in flat.items():
    *parents, last = path.split("/")
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return tree

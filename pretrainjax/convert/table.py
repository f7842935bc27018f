"""The machinery of two-way tables between our parameters and another library's tensors.

A table is a tuple of `Rule`s. Reading it left to right exports, right to left imports, so that the
two directions cannot disagree; whatever it does not mention is an error, never left out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from pretrainjax.errors import UserError, nearest

Tensors = dict[str, np.ndarray]
_LAYER = "{layer}"


class Layout(NamedTuple):
  """How one tensor (of one layer) is laid out on the other side."""

  to_theirs: Callable[[np.ndarray], np.ndarray]
  to_ours: Callable[[np.ndarray], np.ndarray]


class Rule(NamedTuple):
  """One parameter on both sides.

  Attributes:
    ours: path such as "encoder/blocks/mlp/up/kernel".
    theirs: name of the tensor; with "{layer}" in it, ours is a stack of such tensors.
    layout: between the two.
  """

  ours: str
  theirs: str
  layout: Layout


SAME = Layout(lambda x: x, lambda x: x)
# A linear layer: ours (in, out), torch's (out, in).
LINEAR = Layout(np.transpose, np.transpose)
# A learned token: ours "D", theirs "1 1 D".
TOKEN = Layout(lambda x: x.reshape(1, 1, -1), lambda x: x.reshape(-1))


def patch_layout(num_channels: int) -> Layout:
  """A patch embedding: ours (P, D), P in (row, column, C) order; theirs (D, C, p, p)."""

  def to_theirs(kernel: np.ndarray) -> np.ndarray:
    side = round((kernel.shape[0] / num_channels) ** 0.5)
    split = kernel.reshape(side, side, num_channels, -1)
    return split.transpose(3, 2, 0, 1)

  def to_ours(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])

  return Layout(to_theirs, to_ours)


def to_theirs(rules: tuple[Rule, ...], params: Mapping[str, Any]) -> Tensors:
  """Our nested dict as their named tensors.

  Raises:
    UserError: for a parameter that the table lacks, or the other way round.
  """
  leaves = flatten(params)
  known = {rule.ours for rule in rules}
  _refuse(
    "parameters", [p for p in leaves if p not in known], [p for p in known if p not in leaves]
  )
  tensors = {}
  for rule in rules:
    value = np.asarray(leaves[rule.ours])
    if _LAYER in rule.theirs:
      for layer, part in enumerate(value):
        tensors[rule.theirs.format(layer=layer)] = rule.layout.to_theirs(part)
    else:
      tensors[rule.theirs] = rule.layout.to_theirs(value)
  return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def to_ours(rules: tuple[Rule, ...], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Their named tensors as our nested dict; the depth of each stack is what there is.

  Raises:
    UserError: for a tensor that the table lacks, or the other way round.
  """
  names = {rule: _names(rule, rules, tensors) for rule in rules}
  known = {name for group in names.values() for name in group}
  missing = [name for name in known if name not in tensors]
  _refuse("tensors", [name for name in tensors if name not in known], missing)
  leaves = {}
  for rule, group in names.items():
    parts = [np.ascontiguousarray(rule.layout.to_ours(np.asarray(tensors[n]))) for n in group]
    leaves[rule.ours] = np.stack(parts) if _LAYER in rule.theirs else parts[0]
  return _nested(leaves)


def _names(rule: Rule, rules: tuple[Rule, ...], tensors: Mapping[str, np.ndarray]) -> list[str]:
  """All tensors of a rule, going by the deepest layer that any rule of that stack meets."""
  prefix, found, _ = rule.theirs.partition(_LAYER)
  if not found:
    return [rule.theirs]
  layers = {m[1] for name in tensors if (m := re.match(re.escape(prefix) + r"(\d+)\.", name))}
  depth = 1 + max(map(int, layers), default=0)
  return [rule.theirs.format(layer=layer) for layer in range(depth)]


def _refuse(what: str, unknown: list[str], missing: list[str]) -> None:
  if unknown:
    hint = nearest(unknown[0], missing) if missing else ""
    raise UserError(f"conversion: unknown {what} {_list(unknown)}{hint}")
  if missing:
    raise UserError(f"conversion: missing {what} {_list(missing)}")


def _list(names: list[str]) -> str:
  more = f" and {len(names) - 4} more" if len(names) > 4 else ""
  return ", ".join(sorted(names)[:4]) + more


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Nested dicts as one, with paths "a/b/c"."""
  flat = {}
  for name, value in tree.items():
    path = f"{prefix}{name}"
    flat |= flatten(value, f"{path}/") if isinstance(value, Mapping) else {path: value}
  return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
  tree: dict[str, Any] = {}
  for path, value in flat.items():
    *parents, last = path.split("/")
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = value
  return tree

"""The machinery of two-way tables between our parameters and another library's tensors.

A table is a tuple of `Rule`s. Reading it left to right exports, right to left imports, so that the
two directions cannot disagree; whatever it does not mention is an error, never left out.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pretrainjax.convert.memory import aligned, contiguous, fill
from pretrainjax.errors import UserError, nearest

Tensors = dict[str, np.ndarray]
_LAYER = "{layer}"


class Layout(NamedTuple):
  """How the values of one tensor (of one layer) are laid out on the other side, and back."""

  to_theirs: Callable[[np.ndarray], np.ndarray]
  to_ours: Callable[[np.ndarray], np.ndarray]


class Rule(NamedTuple):
  """A rule that pairs one of our parameters with one of their tensors, or several with a fused one.

  Attributes:
    ours: path such as "encoder/blocks/mlp/up/kernel"; several where theirs is fused: equally large
      parts in this order.
    theirs: name of the tensor; with "{layer}" in it, ours is a stack of such tensors.
    layout: between the two, of each part.
    axis: the axis of their fused tensor, along which the parts lie.
    first: number of the stack's first layer on their side.
    cut: where the first of two parts ends, which are not equally large then.
  """

  ours: str | tuple[str, ...]
  theirs: str
  layout: Layout
  axis: int = 0
  first: int = 0
  cut: int | None = None

  @property
  def paths(self) -> tuple[str, ...]:
    """The paths of our parameters of this rule."""
    return (self.ours,) if isinstance(self.ours, str) else self.ours

  def fuse(self, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Makes their tensor (of one layer) from our parameters."""
    theirs = [self.layout.to_theirs(part) for part in parts]
    return theirs[0] if len(theirs) == 1 else np.concatenate(theirs, axis=self.axis)

  def split(self, tensor: np.ndarray) -> list[np.ndarray]:
    """Makes our parameters (of one layer) from their tensor, views of it where that can be."""
    count, shape = len(self.paths), list(tensor.shape)
    if tensor.dtype.kind in "OSUM":
      raise UserError(f"conversion: {self.theirs} holds {tensor.dtype}, expected numbers")
    size = shape[self.axis] if len(shape) > self.axis else -1
    if count > 1 and (size <= self.cut if self.cut else size < 0 or size % count):
      raise UserError(f"conversion: {self.theirs} has shape {shape}: expected {count} equal parts")
    places = [self.cut] if self.cut else count
    parts = np.split(tensor, places, axis=self.axis) if count > 1 else [tensor]
    try:
      return [self.layout.to_ours(part) for part in parts]
    except (ValueError, IndexError) as error:
      raise UserError(f"conversion: {self.theirs} has shape {shape} ({error})") from error


SAME = Layout(lambda x: x, lambda x: x)
# A linear layer: ours (in, out), torch's (out, in).
LINEAR = Layout(np.transpose, np.transpose)
# A convolution: ours (rows, columns, in, out), torch's (out, in, rows, columns).
CONV = Layout(lambda x: x.transpose(3, 2, 0, 1), lambda x: x.transpose(2, 3, 1, 0))
# A convolution in time: ours (frames, in, out), torch's (out, in, frames).
CONV_TIME = Layout(lambda x: x.transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0))
# A learned token: ours "D", theirs "1 1 D".
TOKEN = Layout(lambda x: x.reshape(1, 1, -1), lambda x: x.reshape(-1))
# A table, or several tokens: ours "N D", theirs "1 N D".
ROWS = Layout(lambda table: table[None], lambda table: table.reshape(table.shape[-2:]))


def linear_rules(
  ours: str, theirs: str, *, bias: bool = True, layout: Layout = LINEAR, first: int = 0
) -> tuple[Rule, ...]:
  """The table of a linear layer; SAME is the layout of GPT-2's Conv1D.

  Args:
    ours: the path of our layer, without "/kernel" and "/bias".
    theirs: the name of their layer, without ".weight" and ".bias".
    bias: whether the layer has a bias.
    layout: the layout of the kernel on the two sides.
    first: the number of the stack's first layer on their side.
  """
  kernel = Rule(f"{ours}/kernel", f"{theirs}.weight", layout, first=first)
  return (kernel, Rule(f"{ours}/bias", f"{theirs}.bias", SAME, first=first))[: 1 + bias]


def norm_rules(ours: str, theirs: str, *, bias: bool = True, first: int = 0) -> tuple[Rule, ...]:
  """The table of a layer norm, or without `bias` of a root mean square norm.

  Args:
    ours: the path of our norm, without "/scale" and "/bias".
    theirs: the name of their norm, without ".weight" and ".bias".
    bias: whether the norm has a shift.
    first: the number of the stack's first layer on their side.
  """
  scale = Rule(f"{ours}/scale", f"{theirs}.weight", SAME, first=first)
  return (scale, Rule(f"{ours}/bias", f"{theirs}.bias", SAME, first=first))[: 1 + bias]


def rows_after(count: int) -> Layout:
  """The layout of a table with `count` more rows in front on their side, zeros if made by us."""
  return Layout(lambda x: np.pad(x, ((count, 0), (0, 0))), lambda x: x[count:])


def patch_layout(num_channels: int) -> Layout:
  """The layout of a patch embedding: ours (P, D), P as (row, column, C); theirs (D, C, p, p)."""

  def to_theirs(kernel: np.ndarray) -> np.ndarray:
    side = round((kernel.shape[0] / num_channels) ** 0.5)
    split = kernel.reshape(side, side, num_channels, -1)
    return split.transpose(3, 2, 0, 1)

  def to_ours(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])

  return Layout(to_theirs, to_ours)


class Planned(NamedTuple):
  """A tensor of theirs that can be made of our parameters.

  Attributes:
    name: the name of the tensor.
    rule: the rule that makes it.
    layer: the number of the layer within our stack; None for what is not stacked.
  """

  name: str
  rule: Rule
  layer: int | None

  def make(self, read: Callable[[str], np.ndarray]) -> np.ndarray:
    """Makes the tensor.

    Args:
      read: the function that gives one of our parameters by its path.
    """
    return contiguous(self._made(read))

  def shape(self, read: Callable[[str], np.ndarray]) -> tuple[int, ...]:
    """The shape of the tensor, for parameters without values of their own (broadcast ones)."""
    return self._made(read).shape

  def _made(self, read: Callable[[str], np.ndarray]) -> np.ndarray:
    values = [read(path) for path in self.rule.paths]
    if self.layer is not None:
      values = [value[self.layer] for value in values]
    return self.rule.fuse(values)


def plan(rules: tuple[Rule, ...], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Planned]:
  """Lists the tensors that our parameters become, without making any.

  Args:
    rules: the table of the class, in any order.
    shapes: the shape of each of our parameters by its path.

  Raises:
    UserError: for a parameter that the table lacks, or the other way round.
  """
  known = {path for rule in rules for path in rule.paths}
  unknown = [path for path in shapes if path not in known]
  _refuse("parameters", unknown, [path for path in known if path not in shapes])
  for rule in rules:
    yield from tensors_of(rule, shapes)


def tensors_of(rule: Rule, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Planned]:
  """Lists the tensors of one rule.

  Args:
    rule: the rule, all of whose parameters are there.
    shapes: the shape of each of our parameters by its path.
  """
  if _LAYER not in rule.theirs:
    yield Planned(rule.theirs, rule, None)
    return
  for layer in range(shapes[rule.paths[0]][0]):
    yield Planned(rule.theirs.format(layer=layer + rule.first), rule, layer)


def to_ours(
  rules: tuple[Rule, ...],
  tensors: Mapping[str, Any],
  *,
  wanted: Mapping[str, tuple[int, ...]] | None = None,
  finish: Callable[[str, np.ndarray], Any] = lambda path, leaf: leaf,
  only: str = "",
) -> dict[str, Any]:
  """Converts their named tensors into our nested dict, each stack as deep as theirs.

  Args:
    rules: the table of the class, in any order.
    tensors: the tensors by name; each is asked for once, one after the other.
    wanted: the shape of each of our parameters by its path, where it is known.
    finish: the function that makes of each parameter's path and value, as soon as it is whole,
      what is returned.
    only: what begins the paths of those that are made, "encoder/"; "" makes all.

  Raises:
    UserError: for a tensor that the table lacks, or the other way round, or of another shape.
  """
  leaves = {}
  for rule, names in names_by_rule(rules, tensors).items():
    if rule.paths[0].startswith(only):
      made = _gathered(rule, tensors, names, wanted or {})
      for path in rule.paths:
        leaves[path] = finish(path, made.pop(path))
  return _nested(leaves)


def names_by_rule(rules: tuple[Rule, ...], tensors: Collection[str]) -> dict[Rule, list[str]]:
  """The tensors of each rule, by name.

  Args:
    rules: the table of the class, in any order.
    tensors: the names of the tensors that are there.

  Raises:
    UserError: for a tensor that the table lacks, or the other way round.
  """
  names = {rule: _names(rule, tensors) for rule in rules}
  known = {name for group in names.values() for name in group}
  missing = [name for name in known if name not in tensors]
  _refuse("tensors", [name for name in tensors if name not in known], missing)
  return names


def _gathered(
  rule: Rule,
  tensors: Mapping[str, Any],
  names: list[str],
  wanted: Mapping[str, tuple[int, ...]],
) -> dict[str, np.ndarray]:
  """Our parameters of one rule; of stacked ones no more than a layer is held twice."""
  is_stack, made = _LAYER in rule.theirs, {}
  for layer, name in enumerate(names):
    parts = rule.split(np.asarray(tensors[name]))
    for path, part in zip(rule.paths, parts, strict=True):
      shape = (len(names), *part.shape) if is_stack else part.shape
      if wanted.get(path, shape) != shape:
        expected = list(wanted[path])
        raise UserError(f"conversion: {name} makes {path} {list(shape)}, expected {expected}")
      if not is_stack:
        made[path] = contiguous(part)
        continue
      if layer == 0:
        made[path] = aligned(shape, part.dtype)
      place = made[path][layer, ...]  # an array, of a stack of numbers too
      if place.shape != part.shape:
        first, second = sorted((list(place.shape), list(part.shape)))
        raise UserError(f"conversion: layers of {rule.theirs} differ, {first} and {second}")
      fill(place, part)
  return made


def _names(rule: Rule, tensors: Collection[str]) -> list[str]:
  """All tensors of a rule, going by the deepest layer that any rule of that stack meets."""
  prefix, found, _ = rule.theirs.partition(_LAYER)
  if not found:
    return [rule.theirs]
  number = re.compile(re.escape(prefix) + r"([0-9]{1,9})\.")
  layers = {m[1] for name in tensors if (m := number.match(name))}
  depth = 1 + max(map(int, layers), default=rule.first)
  if layers and depth - rule.first > len(tensors):
    raise UserError(f"conversion: {len(tensors)} tensors, but one of layer {depth - 1} of {prefix}")
  return [rule.theirs.format(layer=layer) for layer in range(rule.first, depth)]


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
  """Flattens nested dicts into one, with paths "a/b/c"."""
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

"""Sharding rules: tables of which axis of the mesh cuts which axis of a parameter.

A row is (the end of the parameter's path, an axis of the mesh, several, or None for each of its
last axes).
The first row that fits holds, also for the optimizer's moments, which have the parameter's path
and shape. Leading axes, such as the one of stacked layers that the scan slices, stay whole.
What no table names is cut along its longest axis by "fsdp".
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec as P

from pretrainjax.collectives import TABLES
from pretrainjax.errors import UserError

Rule = tuple[str, tuple[str | tuple[str, ...] | None, ...]]

# Megatron's cut, arXiv 1909.08053: the first product of a pair by columns, the second by rows, so
# that one sum over devices a pair is enough. The other side is cut by "fsdp".
TRANSFORMER: tuple[Rule, ...] = (
  (r"attention/(query|key|value)/kernel", ("fsdp", "tensor")),  # D, heads x head_dim
  (r"attention/(query|key|value)/bias", ("tensor",)),
  (r"attention/out/kernel", ("tensor", "fsdp")),
  (r"mlp/(up|gate)/kernel", ("fsdp", "tensor")),  # D, mlp_dim
  (r"mlp/(up|gate)/bias", ("tensor",)),
  (r"mlp/down/kernel", ("tensor", "fsdp")),
)
# Low-rank updates, cut as the kernels that they are added to. Their rank is no side of a kernel:
# it is cut by "fsdp" where nothing else is, and large enough.
LORA: tuple[Rule, ...] = (
  (r"(attention/(query|key|value)|mlp/(up|gate))/lora_a", ("fsdp", None)),  # D, rank
  (r"(attention/(query|key|value)|mlp/(up|gate))/lora_b", (None, "tensor")),  # rank, out
  (r"(attention/out|mlp/down)/lora_a", ("tensor", None)),
  (r"(attention/out|mlp/down)/lora_b", (None, "fsdp")),
)
# Of BERT, ModernBERT, ELECTRA, GPT-2, Llama and T5: a table's rows are looked up, and are the
# columns of the logits.
VOCABULARY: tuple[Rule, ...] = (
  (r"(token_embedding|output_table)", ("tensor", "fsdp")),  # V, D
  (r"head/bias", ("tensor",)),  # V
)
# Of catalogues with millions of items: rows are read where they lie, see `collectives.look_up`, and
# the table is nowhere whole.
ITEMS: tuple[Rule, ...] = (
  (r"(item|user)_(embedding|features)", (TABLES, None)),  # V, D
  (r"item_bias", (TABLES,)),  # V
)
T5: tuple[Rule, ...] = ((r"relative_bias/table", (None, "tensor")),)  # buckets, heads
RESNET: tuple[Rule, ...] = ((r"conv[^/]*/kernel", (None, None, None, "fsdp")),)  # H W in out

TABLE = (*TRANSFORMER, *LORA, *VOCABULARY, *ITEMS, *T5, *RESNET)  # paths tell architectures apart

# Below this many elements "fsdp" does not cut: it would cost more than it saves.
_MIN_SHARDED = 2**14


def state_specs(abstract: Any, sizes: Mapping[str, int]) -> Any:
  """The PartitionSpec of each leaf of a state, by its path and shape.

  Args:
    abstract: the state, or a part of it, as arrays or ShapeDtypeStructs.
    sizes: the lengths of the mesh's axes by name.

  Raises:
    UserError: where "tensor" does not divide what it would cut, with the arithmetic.
  """

  def cut(path: tuple, leaf: Any) -> P:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return spec_of(name, leaf.shape, sizes)

  return jax.tree_util.tree_map_with_path(cut, abstract)


def spec_of(
  path: str,
  shape: tuple[int, ...],
  sizes: Mapping[str, int],
  *,
  key: str = "--config.parallel.mesh",
) -> P:
  """The PartitionSpec of one array.

  Args:
    path: the path of the array, "params/encoder/blocks/mlp/up/kernel".
    shape: the shape of the whole array.
    sizes: the lengths of the mesh's axes by name.
    key: where the lengths come from, for messages.
  """
  wanted = next((axes for end, axes in TABLE if re.search(rf"(^|/|_){end}$", path)), ())
  if len(wanted) > len(shape):  # a factored moment (Adafactor's) of such a parameter
    wanted = ()
  axes: list[Any] = [None] * (len(shape) - len(wanted)) + list(wanted)
  for i, axis in enumerate(axes):
    if isinstance(axis, tuple):
      axes[i] = axis if _all_cut(shape, i, axis, sizes) else None
      continue
    if axis == "tensor" and shape[i] % sizes["tensor"]:
      raise UserError(
        f"{key}.tensor: found {sizes['tensor']}, expected a divisor of "
        f"{shape[i]}, which is axis {i} of {path} {list(shape)}"
      )
    if axis is None or sizes[axis] == 1 or (axis == "fsdp" and not _cuts(shape, i, sizes)):
      axes[i] = None
  if not any(axis == "fsdp" or isinstance(axis, tuple) for axis in axes):
    _cut_longest(axes, path, shape, sizes)
  return P(*axes)


def _cuts(shape: tuple[int, ...], axis: int, sizes: Mapping[str, int]) -> bool:
  return math.prod(shape) >= _MIN_SHARDED and shape[axis] % sizes["fsdp"] == 0


def _all_cut(
  shape: tuple[int, ...], axis: int, names: tuple[str, ...], sizes: Mapping[str, int]
) -> bool:
  """Whether several axes of the mesh together cut one of an array."""
  parts = math.prod(sizes[name] for name in names)
  return parts > 1 and math.prod(shape) >= _MIN_SHARDED and shape[axis] % parts == 0


def _cut_longest(axes: list, path: str, shape: tuple[int, ...], sizes: Mapping[str, int]) -> None:
  """Gives "fsdp" the longest free axis that it divides; never the layer axis."""
  if sizes["fsdp"] == 1:
    return
  first = 1 if "/blocks/" in f"/{path}/" else 0
  free = [i for i in range(first, len(shape)) if axes[i] is None and _cuts(shape, i, sizes)]
  if free:
    axes[max(free, key=lambda i: shape[i])] = "fsdp"

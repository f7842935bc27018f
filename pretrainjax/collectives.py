"""Collectives: the one place where objectives and layers communicate with other devices.

A program sees devices in one of three ways:

* global arrays, under `parallel.mode="jit"`: no axis is bound, every row is here, and `mean`,
  `gather` and the like are the identity. Where there is a mesh, `constrain` says how an array
  is to be cut, and `by_rows` runs a function on each device's own rows.
* some rows, under "pmap" or within `by_rows`: the axes of rows are bound, and they communicate.
* one device: nothing is bound and there is no mesh; everything is the identity.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int, Key, Num

AXIS = "data"  # of pmap
ROWS = ("data", "fsdp")  # axes of the mesh that cut the batch
TABLES = ("fsdp", "tensor")  # axes of the mesh that cut the rows of large tables


def axes() -> tuple[str, ...]:
  """The names of the bound axes that cut the rows; none where all rows are here."""
  return tuple(name for name in ROWS if _is_bound(name))


def is_bound() -> bool:
  """Whether the caller holds only some of the batch's rows."""
  return bool(axes())


def mean(tree):
  """All-reduces each array of `tree` to its mean over devices; differentiable."""
  return jax.lax.pmean(tree, axes()) if is_bound() else tree


def gather(x: Array) -> Array:
  """All-gathers the rows of all devices in order, "B ..." to "devices*B ..."; differentiable."""
  return jax.lax.all_gather(x, axes(), tiled=True) if is_bound() else x


def row_offset(batch_size: int):
  """The global index of this device's first row, when each device holds `batch_size` rows."""
  return jax.lax.axis_index(axes()) * batch_size if is_bound() else 0


def example_keys(key: Key[Array, ""], batch_size: int) -> Key[Array, " B"]:
  """Makes one PRNG key an example, the same on any number of devices.

  Drawing a batch's noise from one key would tie it to the layout: device 1 of 2 would draw
  what device 0 draws. Folding in the global row index does not.

  Args:
    key: the PRNG key for this purpose, equal on all devices.
    batch_size: the number of rows that this device holds.
  """
  rows = row_offset(batch_size) + jnp.arange(batch_size)
  return jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)


def num_shards() -> int:
  """The number of devices that share the rows of the batch; 1 where all rows are here."""
  return jax.lax.axis_size(axes()) if is_bound() else 1


def from_next(tree):
  """The arrays of the next device of the ring; after `num_shards` calls one's own are back."""
  count = num_shards()
  return jax.lax.ppermute(tree, axes(), [((i + 1) % count, i) for i in range(count)])


def by_rows(fn: Callable, *rows: Any, whole: tuple = (), total: bool = False) -> Any:
  """Runs fn(*rows, *whole) on each device's own rows, where a mesh cuts global arrays.

  Left to itself the compiler would sum over devices in every turn of a loop over rows, or hold
  rows of all devices at once. Elsewhere it is a plain call.

  Args:
    fn: the function, which is called where the axes of rows are bound.
    *rows: pytrees of arrays whose first axis is cut by rows; the second one of those with more
      than one is cut by "context" where that divides all of them.
    whole: pytrees of arrays that every device sees all of; None is allowed.
    total: whether the results are sums over rows, of which sums over all devices are returned;
      otherwise they are arrays by rows.

  Returns:
    The results of `fn`.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if is_bound() or _shards(mesh) == 1:
    return fn(*rows, *whole)
  tokens = total and _divides(mesh, rows)
  cut = (*ROWS, "context") if tokens else ROWS

  def local(rows, whole):
    # Marked as different on each device, since their gradients are, until these are summed.
    whole = jax.tree.map(lambda x: jax.lax.pcast(x, cut, to="varying"), whole)
    results = fn(*rows, *whole)
    return jax.lax.psum(results, cut) if total else results

  spec = P(ROWS, "context") if tokens else P(ROWS)
  out = P() if total else P(ROWS)
  run = jax.shard_map(local, in_specs=(spec, P()), out_specs=out, axis_names=set(cut))
  return run(rows, whole)


def look_up(
  table: Num[Array, "V D"], rows: Int[Array, "B *T"], *, dtype: str | None = None
) -> Num[Array, "B *T D"]:
  """Looks rows of a table up by number, where a mesh cuts the table by rows.

  Each device reads those that it holds, for all devices that share the table, and the sum over
  devices is what was asked for: the table is never whole anywhere, and neither is its gradient.
  What is sent is the results' size times the devices of "fsdp". Elsewhere it is a plain look-up.

  Args:
    table: one row a number, in whose dtype the gradient is summed.
    rows: numbers of rows, each at least 0 and below V; the first axis is that of the batch.
    dtype: the dtype of the result; None is that of the table.
  """
  dtype = table.dtype if dtype is None else dtype
  mesh = jax.sharding.get_abstract_mesh()
  parts, batch = _length(mesh, TABLES), _length(mesh, ROWS)
  if is_bound() or parts == 1 or len(table) % parts or len(rows) % batch:
    return jnp.take(table, rows, axis=0, mode="clip").astype(dtype)

  def local(table, rows):
    rows = jax.lax.all_gather(rows, "fsdp", tiled=True)
    place = rows - jax.lax.axis_index(TABLES) * len(table)
    is_here = (place >= 0) & (place < len(table))
    found = jnp.take(table, place, axis=0, mode="clip").astype(dtype)
    found = jax.lax.psum(jnp.where(is_here[..., None], found, 0), "tensor")
    return jax.lax.psum_scatter(found, "fsdp", tiled=True)

  specs = (P(TABLES), P(ROWS))
  run = jax.shard_map(local, in_specs=specs, out_specs=P(ROWS), axis_names={*ROWS, *TABLES})
  return run(table, rows)


def has_mesh() -> bool:
  """Whether a mesh of several devices cuts arrays."""
  mesh = jax.sharding.get_abstract_mesh()
  return not mesh.empty and mesh.size > 1


def constrain(x: Array, *axes: str | tuple[str, ...] | None) -> Array:
  """Tells the compiler which axes of the mesh cut `x`; the identity where there is no mesh.

  Args:
    x: a global array, of any shape.
    *axes: the axes of the mesh, one for each axis of `x`, such as (ROWS, "context", None); those
      that do not divide it are left out.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if is_bound() or not has_mesh():
    return x
  fitting = [
    axis if n % _length(mesh, axis) == 0 else None for n, axis in zip(x.shape, axes, strict=True)
  ]
  return jax.lax.with_sharding_constraint(x, P(*fitting))


def _is_bound(name: str) -> bool:
  try:
    jax.lax.axis_index(name)
  except NameError:
    return False
  return True


def _length(mesh: Any, axis: str | tuple[str, ...] | None) -> int:
  names = axis if isinstance(axis, tuple) else (axis,)
  return math.prod(mesh.shape.get(name, 1) for name in names if name)


def _shards(mesh: Any) -> int:
  return 1 if mesh.empty else _length(mesh, (*ROWS, "context"))


def _divides(mesh: Any, rows: Any) -> bool:
  """Whether all arrays have a second axis that "context" cuts."""
  size = mesh.shape["context"]
  leaves = jax.tree.leaves(rows)
  return size > 1 and all(x.ndim > 1 and x.shape[1] % size == 0 for x in leaves)

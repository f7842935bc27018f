"""Runs the training step on many devices: by a sharded jit, or by the classic replicated pmap."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from pretrainjax.collectives import AXIS, ROWS
from pretrainjax.errors import UserError
from pretrainjax.train.flops import count_flops
from pretrainjax.train.mesh import Axes
from pretrainjax.train.sharding import state_specs
from pretrainjax.types import Batch


@dataclasses.dataclass(frozen=True)
class Parallel:
  """The way in which devices share the state and the batch.

  Attributes:
    mode: the way of sharing: "jit", one program over global arrays on a mesh; "pmap", every device
      holds the whole state and a slice of the batch. Both compute the same numbers, to float
      tolerance.
    mesh: the number of devices along each axis; pmap has "data" alone.
  """

  mode: Literal["jit", "pmap"] = "jit"
  mesh: Axes = Axes()

  def __post_init__(self):
    others = {n: getattr(self.mesh, n) for n in ("fsdp", "tensor", "context")}
    for name, size in others.items():
      if self.mode == "pmap" and size != 1:
        raise ValueError(
          f"mesh.{name}={size} needs mode 'jit'; pmap holds the whole state everywhere"
        )

  @functools.cached_property
  def device_mesh(self) -> Mesh:
    """The mesh of all devices, see `Axes.build`."""
    return self.mesh.build()

  @property
  def num_shards(self) -> int:
    """The number of parts that the rows of a batch are cut into."""
    sizes = self.device_mesh.shape
    return sizes["data"] * sizes["fsdp"]

  def check_batch(self, batch_size: int) -> None:
    """Refuses a global batch that does not split evenly over devices.

    Args:
      batch_size: the number of examples of one step, over all devices.

    Raises:
      UserError: naming the nearest sizes that do.
    """
    count = self.num_shards
    if batch_size % count:
      below, above = batch_size // count * count, -(-batch_size // count) * count
      near = above if not below else f"{below} or {above}"
      raise UserError(
        f"--config.data.batch_size: found {batch_size}, expected a multiple of data x fsdp = "
        f"{count} devices (remainder {batch_size % count}); nearest: {near}"
      )

  def share(self, batch_size: int) -> tuple[int, int]:
    """The part of each batch that this process loads: (its index, the number of parts).

    Processes that hold different parts of the same rows (tensor, context) load the same ones.
    """
    indices = NamedSharding(self.device_mesh, P(ROWS)).addressable_devices_indices_map(
      (batch_size,)
    )
    starts = [index[0].start or 0 for index in indices.values()]
    stops = [batch_size if i[0].stop is None else i[0].stop for i in indices.values()]
    first, rows = min(starts), max(stops) - min(starts)
    if batch_size % rows or first % rows:
      raise UserError(
        f"--config.parallel.mesh: this process holds rows {first} to {first + rows} of "
        f"{batch_size}, which is not one of equal parts; expected tensor x context to divide, or "
        f"be a multiple of, its {jax.local_device_count()} devices"
      )
    return first // rows, batch_size // rows

  def state_sharding(self, abstract: Any) -> Any:
    """The NamedSharding of each leaf of the state, by path and shape; replicated under pmap."""
    mesh = self.device_mesh
    specs = state_specs(abstract, mesh.shape)
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)

  def abstract(self, state: Any) -> Any:
    """The shapes of a whole state, each with its sharding: what a checkpoint is restored to."""
    return jax.tree.map(
      lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
      state,
      self.state_sharding(state),
    )

  def make(self, init: Callable[[], Any], shapes: Any = None) -> Any:
    """Runs `init` in one compiled program, whose result is made on the right devices.

    Args:
      init: the function that makes a state.
      shapes: what it makes, with shapes in place of arrays; None traces it to find out.
    """
    sharding = self.state_sharding(jax.eval_shape(init) if shapes is None else shapes)
    state = jax.jit(init, out_shardings=sharding)()
    return self.place(state) if self.mode == "pmap" else state

  def place(self, state: Any) -> Any:
    """Puts a whole state, equal on all processes, onto the devices as training needs it."""
    if self.mode == "jit":
      return jax.device_put(state, self.state_sharding(state))
    sharding = NamedSharding(self._pmap_mesh, P(AXIS))
    return jax.tree.map(lambda x: _copied(x, sharding), state)

  def whole(self, state: Any) -> Any:
    """The state as global arrays, without pmap's copies, as it is saved and returned."""
    if self.mode == "jit":
      return state
    sharding = NamedSharding(self._pmap_mesh, P())
    return jax.tree.map(lambda x: _one_copy(x, sharding), state)

  def local(self, state: Any) -> Any:
    """All-gathers a state of `whole` onto this process's first device; all processes call it."""
    if jax.process_count() == 1:
      return state
    everywhere = jax.tree.map(lambda _: NamedSharding(self.device_mesh, P()), state)
    gathered = jax.jit(lambda x: x, out_shardings=everywhere)(state)
    return jax.tree.map(lambda x: x.addressable_data(0), gathered)

  def program(self, step: Callable, state: Any) -> Callable:
    """Makes the program of `step(state, batch)` on all devices, which donates its state."""
    if self.mode == "pmap":
      return jax.pmap(step, axis_name=AXIS, donate_argnums=0)
    mesh = self.device_mesh

    @functools.wraps(step)
    def step_on_mesh(state: Any, batch: Batch) -> Any:
      with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # for `collectives`
        return step(state, batch)

    kept = jax.tree.map(lambda x: x.sharding, state)
    return jax.jit(step_on_mesh, donate_argnums=0, out_shardings=(kept, NamedSharding(mesh, P())))

  def flops(self, program: Callable, state: Any, batch: Any) -> float:
    """The FLOPs of one step on one device, see `count_flops`, from arrays or their shapes.

    Args:
      program: the program of `program`.
      state: the state, arrays or shapes.
      batch: the batch, arrays or shapes.
    """
    if self.mode == "jit":
      return count_flops(program, state, batch) / jax.device_count()
    count = jax.local_device_count()  # pmap is traced with what this process holds
    own = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), (state, batch)
    )
    return count_flops(program, *own) / count

  def put(self, batch: Mapping[str, np.ndarray]) -> Batch:
    """Sends this process's rows to its devices; returns at once."""
    if self.mode == "pmap":
      sharding, count = NamedSharding(self._pmap_mesh, P(AXIS)), jax.local_device_count()
      batch = {k: v.reshape(count, -1, *v.shape[1:]) for k, v in batch.items()}
    else:
      sharding = NamedSharding(self.device_mesh, P(ROWS))
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}

  @functools.cached_property
  def _pmap_mesh(self) -> Mesh:
    return Mesh(np.asarray(jax.devices()), (AXIS,))


def scalar(value: jax.Array) -> np.generic:
  """The value of a scalar that every device holds, of which pmap returns all copies."""
  return np.asarray(value.addressable_data(0)).reshape(-1)[0]


def _copied(x: Any, sharding: NamedSharding) -> jax.Array:
  """A copy on every device, along a new first axis."""
  value = np.asarray(x if getattr(x, "is_fully_addressable", True) else x.addressable_data(0))[None]
  shape = (len(sharding.device_set), *value.shape[1:])
  return jax.make_array_from_callback(shape, sharding, lambda _: value)


def _one_copy(x: jax.Array, sharding: NamedSharding) -> jax.Array:
  """The first axis of pmap's arrays taken away, without moving anything."""
  parts = [shard.data[0] for shard in x.addressable_shards]
  return jax.make_array_from_single_device_arrays(x.shape[1:], sharding, parts)

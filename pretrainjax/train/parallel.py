"""How one step program runs on many devices: a sharded jit, or the classic replicated pmap."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from pretrainjax.collectives import AXIS
from pretrainjax.errors import UserError
from pretrainjax.types import Batch

# Below this many elements an array is replicated: sharding it costs more than it saves.
_MIN_SHARDED = 2**14


@dataclasses.dataclass(frozen=True)
class Parallel:
  """Where the state lives and how the batch is cut.

  Attributes:
    mode: "jit", one program over global arrays on a mesh; "pmap", every device holds the whole
      state and a slice of the batch. Both compute the same numbers, to float tolerance.
    data: devices along the axis that only cuts the batch; -1 takes what is left.
    fsdp: devices along the axis that cuts the batch and the parameters; jit only.
  """

  mode: Literal["jit", "pmap"] = "jit"
  data: int = -1
  fsdp: int = 1

  def __post_init__(self):
    if self.fsdp < 1 or self.data == 0 or self.data < -1:
      raise ValueError(f"data={self.data}, fsdp={self.fsdp}: sizes are positive, or -1 for data")
    if self.mode == "pmap" and self.fsdp != 1:
      raise ValueError(f"fsdp={self.fsdp} needs mode 'jit'; pmap holds the whole state everywhere")

  def mesh(self) -> Mesh:
    """All devices as a (data, fsdp) mesh; refused unless the product is exact."""
    count = jax.device_count()
    data = count // self.fsdp if self.data == -1 else self.data
    if data * self.fsdp != count:
      raise UserError(
        f"--config.parallel: data={self.data} x fsdp={self.fsdp} does not make {count} devices"
      )
    # Explicit axes, the default of jax.make_mesh, break plain modules.
    auto = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((data, self.fsdp), ("data", "fsdp"), axis_types=auto)

  def check_batch(self, batch_size: int) -> None:
    """Raises UserError where the global batch does not split evenly over devices."""
    count = jax.device_count()
    if batch_size % count:
      below, above = batch_size // count * count, -(-batch_size // count) * count
      near = above if not below else f"{below} or {above}"
      raise UserError(
        f"--config.data.batch_size: found {batch_size}, expected a multiple of {count} devices "
        f"(remainder {batch_size % count}); nearest: {near}"
      )

  def state_sharding(self, abstract: Any) -> Any:
    """One NamedSharding a leaf of the state, by shape and path."""
    mesh = self.mesh()
    return jax.tree_util.tree_map_with_path(
      lambda path, leaf: NamedSharding(mesh, _fsdp_spec(path, leaf.shape, self.fsdp)), abstract
    )

  def make(self, init: Callable[[], Any]) -> Any:
    """Runs `init` so that its result is born in place, compiled once."""
    if self.mode == "pmap":
      return self.place(jax.jit(init)())
    return jax.jit(init, out_shardings=self.state_sharding(jax.eval_shape(init)))()

  def place(self, state: Any) -> Any:
    """Puts a whole (host or device) state where training wants it."""
    if self.mode == "pmap":
      devices = jax.local_devices()
      sharding = NamedSharding(_local_mesh(), P("data"))
      return jax.tree.map(
        lambda x: jax.device_put(np.broadcast_to(x, (len(devices), *np.shape(x))), sharding),
        jax.device_get(state),
      )
    return jax.device_put(state, self.state_sharding(state))

  def whole(self, state: Any) -> Any:
    """The state without the copies that pmap keeps: what is saved, evaluated and returned."""
    return jax.tree.map(lambda x: x[0], state) if self.mode == "pmap" else state

  def program(self, step: Callable, state: Any) -> Callable:
    """`step(state, batch) -> (state, metrics)` on all devices, its state donated."""
    if self.mode == "pmap":
      return jax.pmap(step, axis_name=AXIS, donate_argnums=0)
    kept = jax.tree.map(lambda x: x.sharding, state)
    return jax.jit(step, donate_argnums=0, out_shardings=(kept, NamedSharding(self.mesh(), P())))

  def put(self, batch: Mapping[str, np.ndarray]) -> Batch:
    """Sends this process's rows to its devices; returns at once."""
    if self.mode == "pmap":
      sharding, count = NamedSharding(_local_mesh(), P("data")), jax.local_device_count()
      return {
        k: jax.device_put(v.reshape(count, -1, *v.shape[1:]), sharding) for k, v in batch.items()
      }
    sharding = NamedSharding(self.mesh(), P(("data", "fsdp")))
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def _local_mesh() -> Mesh:
  return Mesh(np.asarray(jax.local_devices()), ("data",))


def _fsdp_spec(path: tuple, shape: tuple[int, ...], fsdp: int) -> P:
  """Cuts the longest axis that divides; never the layer axis, which the scan slices."""
  first = 1 if any(getattr(k, "key", None) == "blocks" for k in path) else 0
  if fsdp == 1 or math.prod(shape) < _MIN_SHARDED:
    return P()
  axes = [a for a in range(first, len(shape)) if shape[a] % fsdp == 0]
  if not axes:
    return P()
  longest = max(axes, key=lambda a: shape[a])
  return P(*(("fsdp" if a == longest else None) for a in range(len(shape))))

"""The mesh of devices: four axes, of which every run uses as many as it needs."""

import dataclasses
import math
from typing import Annotated

import jax
from jax.sharding import AxisType, Mesh

from pretrainjax.errors import UserError
from pretrainjax.ranges import LARGEST, PositiveInt, Range

NAMES = ("data", "fsdp", "tensor", "context")


@dataclasses.dataclass(frozen=True)
class Axes:
  """The number of devices along each axis of the mesh.

  Attributes:
    data: the axis that cuts the batch; -1 takes the devices that are left.
    fsdp: the axis that cuts the batch, and parameters and optimizer state too (ZeRO-3, arXiv
      1910.02054).
    tensor: the axis that cuts heads, hidden units and the vocabulary (arXiv 1909.08053); it
      communicates in each layer, so that its devices should be the nearest.
    context: the axis that cuts sequences; each device's queries see the keys of all.
  """

  data: Annotated[int, Range(-1, LARGEST)] = -1
  fsdp: PositiveInt = 1
  tensor: PositiveInt = 1
  context: PositiveInt = 1

  def __post_init__(self):
    for name in NAMES:
      size = getattr(self, name)
      if size < 1 and not (name == "data" and size == -1):
        raise ValueError(f"{name}={size}: expected at least 1, or -1 for data")

  def sizes(self, num_devices: int) -> dict[str, int]:
    """The length of each axis by name.

    Raises:
      UserError: where the product is not the number of devices, with the arithmetic.
    """
    found = {name: getattr(self, name) for name in NAMES}
    others = math.prod(found[name] for name in NAMES if name != "data")
    if self.data == -1:
      found["data"] = num_devices // others
    if math.prod(found.values()) != num_devices:
      shown = found | ({"data": "?"} if self.data == -1 else {})
      product = " x ".join(f"{name}={size}" for name, size in shown.items())
      raise UserError(
        f"--config.parallel.mesh: {product} does not make {num_devices} devices; "
        f"{_advice(self.data, others, num_devices)}"
      )
    return found

  def build(self) -> Mesh:
    """The mesh over all devices of all processes, refused unless it uses each of them once."""
    sizes = self.sizes(jax.device_count())
    # Explicit axes, the default of jax.make_mesh, break plain modules.
    return jax.make_mesh(tuple(sizes.values()), NAMES, axis_types=(AxisType.Auto,) * len(NAMES))


def _advice(data: int, others: int, num_devices: int) -> str:
  if num_devices % others:
    divisors = [n for n in range(1, num_devices + 1) if num_devices % n == 0]
    nearest = min(divisors, key=lambda n: abs(n - others))
    return f"fsdp x tensor x context is {others}, expected a divisor, such as {nearest}"
  return f"found data={data}, expected {num_devices // others}, or -1"

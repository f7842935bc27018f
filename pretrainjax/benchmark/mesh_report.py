"""One mesh's row of a memory plan: the real step, compiled for shapes."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from pretrainjax.benchmark.activations import kept_by_step
from pretrainjax.benchmark.batches import batch_shapes
from pretrainjax.benchmark.collectives import by_group, by_kind, read_collectives
from pretrainjax.benchmark.compiled import (
  abstract_batch,
  compile_step,
  memory_of,
  program_state,
)
from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.config.objects import spec
from pretrainjax.config.text import from_json, to_json
from pretrainjax.train.assemble import Run, assemble
from pretrainjax.train.mesh import NAMES, Axes
from pretrainjax.train.parallel import Parallel

# Stands in for a dataset's examples: only schedules count them.
STAND_IN_EXAMPLES = 1_000_000


@dataclasses.dataclass(frozen=True)
class MeshReport:
  """What one mesh means for each of its devices: memory, time to compile, bytes sent.

  Attributes:
    mesh: sizes of its axes.
    num_params: parameters of the whole model.
    rows: the number of rows of the batch that a device has.
    memory: bytes by the names of `compiled.Memory`, and "total".
    kept: bytes that the backward pass needs, traced, see `kept_by_step`.
    flops: the FLOPs of one step on a device.
    collectives: exchanges of a step by kind, see `by_kind`.
    exchanges: the same by kind and group of devices, see `by_group`.
    compile_seconds: the seconds that compiling the step took.
  """

  mesh: dict[str, int]
  num_params: int
  rows: int
  memory: dict[str, int]
  kept: int
  flops: float
  collectives: dict[str, dict[str, int | float]]
  exchanges: list[dict[str, Any]]
  compile_seconds: float

  @property
  def wire_bytes(self) -> float:
    """The bytes that a device sends in a step."""
    return math.fsum(row["wire_bytes"] for row in self.collectives.values())

  @property
  def state_bytes(self) -> int:
    """The bytes of the state on a device."""
    return sum(self.memory[name] for name in ("params", "optimizer", "extras"))


def run_on_mesh(config: ConfigDict, axes: Mapping[str, int]) -> Run:
  """Builds a config for another mesh, without its data and its evaluators.

  Raises:
    UserError: where it does not fit.
  """
  config = from_json(to_json(config), allow=ANYTHING)  # a copy
  if "parallel" not in config:
    config.parallel = spec(Parallel, mesh=spec(Axes))
  for name in NAMES:
    config.parallel.mesh[name] = axes[name]
  config.evals = ConfigDict()
  facts = StandIn(config)
  return assemble(config, num_examples=STAND_IN_EXAMPLES, prepared=facts, allow=ANYTHING)


def report_mesh(config: ConfigDict, axes: Mapping[str, int]) -> MeshReport:
  """Compiles the step for a mesh of the devices that are here.

  Args:
    config: the config of a run.
    axes: the size of each axis by name.

  Raises:
    UserError: where config and mesh do not go together.
  """
  run = run_on_mesh(config, axes)
  shapes = batch_shapes(run.data, run.config.objective)
  state, batch = program_state(run), abstract_batch(run, shapes)
  step = compile_step(run, state, batch)
  memory, exchanges = memory_of(step, state), read_collectives(step.text)
  return MeshReport(
    mesh=run.parallel.mesh.sizes(jax.device_count()),
    num_params=sum(math.prod(x.shape) for x in jax.tree.leaves(run.abstract_state.params)),
    rows=run.data.batch_size // run.parallel.num_shards,
    memory=dataclasses.asdict(memory) | {"total": memory.total},
    kept=kept_by_step(run, shapes),
    flops=step.flops,
    collectives=by_kind(exchanges),
    exchanges=by_group(exchanges),
    compile_seconds=step.compile_seconds,
  )

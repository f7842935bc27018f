"""The training step, compiled without any array being made, and what that tells of memory."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from pretrainjax.collectives import ROWS
from pretrainjax.train.assemble import Run
from pretrainjax.train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Memory:
  """The memory that a compiled step needs on one device, in bytes.

  Attributes:
    params: the bytes of the parameters.
    optimizer: the bytes of the optimizer's moments.
    extras: batch statistics, teacher, averaged parameters and all else of the state.
    arguments: what the step is given: the state and the device's rows of the batch.
    outputs: what the step returns: the new state and the metrics.
    aliased: the part of the outputs that is written over arguments.
    temporaries: all that lives between them: activations, gradients, buffers.
  """

  params: int
  optimizer: int
  extras: int
  arguments: int
  outputs: int
  aliased: int
  temporaries: int

  @property
  def total(self) -> int:
    """The bytes that are held at once, at most."""
    return self.arguments + self.outputs - self.aliased + self.temporaries


def program_state(run: Run) -> TrainState:
  """A new state as the program takes it, every leaf a shape with its sharding."""
  state = run.abstract_state
  if run.parallel.mode == "pmap":  # a copy on each device, along a new first axis
    count = jax.device_count()
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), state)
  return run.parallel.abstract(state)


def abstract_batch(run: Run, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, Any]:
  """A batch of these shapes over all devices, as the program takes it."""
  if run.parallel.mode == "pmap":
    count = jax.device_count()
    return {
      name: jax.ShapeDtypeStruct((count, x.shape[0] // count, *x.shape[1:]), x.dtype)
      for name, x in shapes.items()
    }
  rows = NamedSharding(run.parallel.device_mesh, P(ROWS))
  return {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows) for name, x in shapes.items()}


@dataclasses.dataclass(frozen=True)
class Step:
  """A compiled training step.

  Attributes:
    compiled: the program, the result of `jax.jit(...).lower(...).compile()`.
    compile_seconds: the seconds that tracing and compiling took.
    flops: the FLOPs of one step on one device.
    text: the text of the program with its exchanges, for `read_collectives`.
  """

  compiled: Any
  compile_seconds: float
  flops: float
  text: str


def compile_step(run: Run, state: Any, batch: Any) -> Step:
  """Compiles the training step of a run.

  Args:
    run: the run that is measured, built from its config.
    state: the state's arrays, or what `program_state` gives.
    batch: the batch's arrays, or what `abstract_batch` gives.
  """
  program = run.parallel.program(run.step(), state)
  start = time.perf_counter()
  lowered = program.lower(state, batch)
  if jax.default_backend() != "cpu":
    compiled = lowered.compile()
    text = compiled.as_text()
  else:
    compiled, text = _compile_for_cpu(lowered)
  seconds = time.perf_counter() - start
  return Step(compiled, seconds, run.parallel.flops(program, state, batch), text)


def _compile_for_cpu(lowered: Any) -> tuple[Any, str]:
  """The program, and its text as it leaves the partitioner, which all backends have in common.

  What XLA does to it afterwards for CPUs is theirs alone: exchanges of bfloat16 become float32.
  """
  with tempfile.TemporaryDirectory(prefix="pretrainjax-hlo-") as folder:
    compiled = lowered.compile(
      compiler_options={
        "xla_dump_to": folder,
        "xla_dump_hlo_pass_re": "spmd-partitioning",
      }
    )
    found = sorted(Path(folder).glob("*after_spmd-partitioning*.txt"))
    return compiled, found[-1].read_text() if found else compiled.as_text()


def memory_of(step: Step, state: TrainState) -> Memory:
  """The memory that a compiled step needs on a device.

  Args:
    step: the compiled step, from `compile_step`.
    state: the state that it was compiled for, arrays or shapes.
  """
  stats = step.compiled.memory_analysis()
  sizes = {name: _local_bytes(getattr(state, name)) for name in ("params", "opt_state")}
  return Memory(
    params=sizes["params"],
    optimizer=sizes["opt_state"],
    extras=_local_bytes(state) - sum(sizes.values()),
    arguments=stats.argument_size_in_bytes,
    outputs=stats.output_size_in_bytes,
    aliased=stats.alias_size_in_bytes,
    temporaries=stats.temp_size_in_bytes,
  )


def _local_bytes(tree: Any) -> int:
  """Bytes of a tree on one device, by the shapes of its shards."""
  return sum(_leaf_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _leaf_bytes(leaf: Any) -> int:
  sharding = getattr(leaf, "sharding", None)
  # Without one it is pmap's, whose first axis is the devices.
  shape = leaf.shape[1:] if sharding is None else sharding.shard_shape(leaf.shape)
  return math.prod(shape) * leaf.dtype.itemsize

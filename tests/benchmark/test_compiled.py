"""The step compiled for shapes: what it says of memory is what arrays take."""

import dataclasses

import jax
import pytest

from pretrainjax.benchmark.batches import batch_shapes
from pretrainjax.benchmark.compiled import (
  abstract_batch,
  compile_step,
  memory_of,
  program_state,
)
from pretrainjax.benchmark.mesh_report import run_on_mesh
from pretrainjax.config.text import load_config

ONE = {"data": 1, "fsdp": 1, "tensor": 1, "context": 1}


def bytes_of(tree):
  return sum(x.nbytes for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_memory_is_that_of_the_arrays(mode):
  config = load_config("configs/finetune/image/mlp_fashion_mnist.py:smoke")
  config.parallel.mode = mode
  config.train.ema_decay = 0.9
  run = run_on_mesh(config, ONE)
  state, shapes = program_state(run), batch_shapes(run.data, config.objective)
  step = compile_step(run, state, abstract_batch(run, shapes))
  memory = memory_of(step, state)

  real = jax.jit(run.init)()
  assert memory.params == bytes_of(real.params)
  assert memory.optimizer == bytes_of(real.opt_state)
  assert memory.params + memory.optimizer + memory.extras == bytes_of(real)
  given = shapes["image"].size + 4 * shapes["label"].size  # bytes and int32
  assert memory.arguments == pytest.approx(bytes_of(real) + given, rel=0.01)
  assert memory.aliased == pytest.approx(bytes_of(real), rel=0.01), "the state is donated"
  assert memory.total > memory.arguments
  assert step.flops > 0 and step.compile_seconds > 0
  assert set(dataclasses.asdict(memory)) == {
    "params",
    "optimizer",
    "extras",
    "arguments",
    "outputs",
    "aliased",
    "temporaries",
  }

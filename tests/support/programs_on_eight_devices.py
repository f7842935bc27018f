"""Run by test_programs.py in a process of its own with 8 simulated devices.

Prints, for each mesh, what the compiled step of a config takes and sends, and the losses of real
steps: `python programs_on_eight_devices.py CONFIG OVERRIDES MESHES`, the last two in JSON.
"""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from pretrainjax.benchmark.batches import noise_batch
from pretrainjax.benchmark.collectives import read_collectives
from pretrainjax.benchmark.compiled import compile_step, memory_of
from pretrainjax.benchmark.mesh_report import run_on_mesh
from pretrainjax.config.text import load_config
from pretrainjax.train.mesh import Axes

STEPS = 3
NAMES = ("data", "fsdp", "tensor", "context")


def bytes_of(tree) -> int:
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def on_mesh(config, axes: dict) -> dict:
  """The step's program for a mesh, and what it computes."""
  run = run_on_mesh(config, {name: axes.get(name, 1) for name in NAMES})
  state = run.parallel.make(run.init)
  batch = run.parallel.put(noise_batch(run.data, config.objective))
  step = compile_step(run, state, batch)
  memory = memory_of(step, state)
  whole = run.abstract_state
  # The partitioner's text, which all backends have in common, and what really runs here.
  texts = (step.text, step.compiled.as_text())
  losses = []
  for _ in range(STEPS):
    state, metrics = step.compiled(state, batch)
    losses.append(float(np.asarray(metrics["loss"])))
  return {
    "losses": losses,
    "arguments": memory.arguments,  # of the compiled program, on one device
    "params": memory.params,
    "optimizer": memory.optimizer,
    "batch": max(sum(s.data.nbytes for s in x.addressable_shards[:1]) for x in batch.values())
    * len(batch),
    "whole": {"params": bytes_of(whole.params), "optimizer": bytes_of(whole.opt_state)},
    "texts": [exchanges(text) for text in texts],
  }


def exchanges(text: str) -> list[dict]:
  return [dataclasses.asdict(c) for c in read_collectives(text)]


def controls(rows: int, vocabulary: int, width: int, layers: int) -> dict:
  """Programs that do what none of ours may: gather all logits, gather a stack before its scan."""
  mesh = Axes(fsdp=8).build()

  def cut(*axes):
    return NamedSharding(mesh, P(*axes))

  def logits(hidden, table):
    rows = jnp.exp(jax.lax.with_sharding_constraint(hidden @ table.T, cut("fsdp")))
    return jax.lax.with_sharding_constraint(rows, cut())

  def stack(x, kernels):
    kernels = jax.lax.with_sharding_constraint(kernels, cut())
    return jax.lax.scan(lambda x, kernel: (jnp.tanh(x @ kernel), None), x, kernels)[0]

  hidden = jax.ShapeDtypeStruct((rows, width), jnp.float32, sharding=cut("fsdp"))
  table = jax.ShapeDtypeStruct((vocabulary, width), jnp.float32, sharding=cut())
  kernels = jax.ShapeDtypeStruct((layers, width, width), jnp.float32, sharding=cut(None, "fsdp"))
  return {
    "logits": exchanges(jax.jit(logits).lower(hidden, table).compile().as_text()),
    "stack": exchanges(jax.jit(stack).lower(hidden, kernels).compile().as_text()),
  }


def main() -> int:
  path, overrides, meshes = sys.argv[1], *map(json.loads, sys.argv[2:])
  config = load_config(path, {key: str(value) for key, value in overrides.items()})
  backbone = config.objective.backbone
  size = (backbone.vocab_size, backbone.embed_dim, backbone.num_layers)
  found = {
    "meshes": [on_mesh(config, axes) for axes in meshes],
    "controls": controls(config.data.batch_size * config.data.length, *size),
  }
  print(json.dumps(found))
  return 0


if __name__ == "__main__":
  sys.exit(main())

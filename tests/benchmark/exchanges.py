"""Prints what is read of a program whose exchanges are known: run on 8 simulated devices."""

import json

import jax
import jax.numpy as jnp
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from pretrainjax.benchmark.collectives import read_collectives

ROWS, WIDTH = 64, 16  # of each device, float32: 4096 bytes


def step(x, w):
  """Exchanges in a loop of 5 rounds, in one of 7 within which is one of 3, and outside."""

  def body(x, _):
    x = jax.lax.psum(x, "a") * 0.5
    gathered = jax.lax.all_gather(x, "b", tiled=True)
    scattered = jax.lax.psum_scatter(gathered, "b", tiled=True)
    moved = jax.lax.ppermute(scattered, "a", [(i, (i + 1) % 4) for i in range(4)])
    parts = jax.lax.all_to_all(moved.reshape(4, -1), "a", 0, 0)
    return parts.reshape(x.shape) + jnp.sin(moved), None

  def inner(x, _):
    return jax.lax.psum(jnp.sin(x), ("a", "b")), None

  def outer(x, _):
    return jax.lax.scan(inner, x, None, length=3)[0], None

  x, _ = jax.lax.scan(body, x, None, length=5)
  x, _ = jax.lax.scan(outer, x, None, length=7)
  return x, jax.lax.psum(w, "b")


def partial_sum(x, w):
  """A product whose sum over devices is wanted in parts: a reduce-scatter, however written."""
  return x.T @ w


def main():
  mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
  rows = P(("a", "b"))
  program = jax.shard_map(
    step, mesh=mesh, in_specs=(rows, P()), out_specs=(rows, P()), check_vma=False
  )
  x = jax.ShapeDtypeStruct((8 * ROWS, WIDTH), jnp.float32)
  w = jax.ShapeDtypeStruct((33,), jnp.bfloat16)
  text = jax.jit(program).lower(x, w).compile().as_text()

  ring = jax.make_mesh((8,), ("a",), axis_types=(AxisType.Auto,))
  cut = jax.sharding.NamedSharding(ring, P("a"))
  a = jax.ShapeDtypeStruct((256, 64), jnp.float32, sharding=cut)
  b = jax.ShapeDtypeStruct((256, 32), jnp.float32, sharding=cut)
  sums = {
    name: jax.jit(partial_sum, out_shardings=jax.sharding.NamedSharding(ring, spec))
    .lower(a, b)
    .compile()
    .as_text()
    for name, spec in (("parts", P("a")), ("whole", P()))
  }
  texts = {"step": text, **sums}
  # The same without XLA's note of how often a loop runs.
  texts["unnoted"] = text.replace("known_trip_count", "unknown")
  found = {
    name: [
      (c.kind, c.array_bytes, c.group, c.times, c.wire_bytes) for c in read_collectives(program)
    ]
    for name, program in texts.items()
  }
  print(json.dumps(found))


if __name__ == "__main__":
  main()

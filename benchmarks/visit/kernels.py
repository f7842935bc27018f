"""Kernels of attention: which are right, and how long they take, forward and backward."""

import dataclasses
import functools
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from visit.models import Model, batch_of

from pretrainjax.models.layers.attention import dot_product_attention
from pretrainjax.models.layers.scope import Scope

KERNELS = ("einsum", "xla", "cudnn")
# Of the largest number of the reference: bfloat16 keeps 8 bits.
LIMIT = 2e-2


@dataclasses.dataclass(frozen=True)
class Case:
  """Shapes of queries, and what they see.

  Attributes:
    batch: rows.
    length: tokens of a row.
    heads: of attention, of width 64.
    causal: tokens see those before them only.
    packed: rows hold several documents, which do not see each other.
  """

  batch: int
  length: int
  heads: int
  causal: bool = False
  packed: bool = False


CASES = {
  "ViT-B encoder of MAE": Case(256, 49, 12),
  "ViT-B, all patches": Case(64, 196, 12),
  "odd length": Case(64, 197, 12),
  "BERT-base, 512": Case(64, 512, 12),
  "GPT-2, 1024": Case(16, 1024, 12, causal=True),
  "BERT-base, packed": Case(16, 512, 12, packed=True),
  "GPT-2, packed": Case(16, 1024, 12, causal=True, packed=True),
}
TINY_CASES = {"tiny": Case(2, 16, 2), "tiny, packed": Case(2, 16, 2, causal=True, packed=True)}


def cases(sizes: str) -> dict[str, Case]:
  """The cases of "full" or "tiny" sizes, by name."""
  return TINY_CASES if sizes == "tiny" else CASES


def compare(name: str, kernel: str, *, sizes: str, seconds: float) -> dict[str, Any]:
  """One kernel in bfloat16 on one case: its error against einsum in float32, and its time.

  Args:
    name: of the case.
    kernel: of attention, one of KERNELS.
    sizes: "full" or "tiny".
    seconds: how long it is timed, about.
  """
  case = cases(sizes)[name]
  arrays = _arrays(case)
  run = jax.jit(functools.partial(_forward_and_backward, case=case, kernel=kernel))
  exact = jax.jit(functools.partial(_forward_and_backward, case=case, kernel="einsum"))
  wide = {k: v.astype(jnp.float32) if k != "segments" else v for k, v in arrays.items()}
  with jax.default_matmul_precision("highest"):
    reference = exact(wide)
  found = run(arrays)
  error = max(_error(a, b) for a, b in zip(found, reference, strict=True))
  times = _times(lambda: run(arrays), seconds)
  return {
    "error": error,
    "limit": LIMIT,
    "kept": bool(error <= LIMIT),
    "milliseconds": statistics.median(times) * 1e3,
  }


def _arrays(case: Case) -> dict[str, jax.Array]:
  shape = (case.batch, case.length, case.heads, 64)
  keys = jax.random.split(jax.random.key(0), 4)
  names = ("query", "key", "value", "slope")
  arrays = {n: jax.random.normal(k, shape, jnp.bfloat16) for n, k in zip(names, keys, strict=True)}
  if case.packed:
    rows = batch_of(Model("gpt", 4 * case.batch, case.length, vocab=200, packed=True))["segments"]
    arrays["segments"] = jnp.asarray(np.resize(rows, (case.batch, case.length)))
  return arrays


def _forward_and_backward(arrays: Any, *, case: Case, kernel: str) -> tuple[jax.Array, ...]:
  scope = Scope(segments=arrays.get("segments"), causal=case.causal)

  def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    return dot_product_attention(query, key, value, scope=scope, kernel=kernel)

  out, pull = jax.vjp(attend, *(arrays[name] for name in ("query", "key", "value")))
  return (out, *pull(arrays["slope"]))


def _error(found: jax.Array, reference: jax.Array) -> float:
  """The largest difference, by the reference's largest number."""
  found, reference = found.astype(jnp.float32), reference.astype(jnp.float32)
  return float(jnp.max(jnp.abs(found - reference)) / jnp.max(jnp.abs(reference)))


def _times(run: Any, seconds: float) -> list[float]:
  """Seconds of a call, of ten at a time, until `seconds` are over."""
  times, end = [], time.perf_counter() + seconds
  while not times or time.perf_counter() < end:
    start = time.perf_counter()
    for _ in range(10):
      found = run()
    jax.block_until_ready(found)
    times.append((time.perf_counter() - start) / 10)
  return times

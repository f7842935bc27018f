"""Reading the first batches of a pipeline, and comparing them."""

import hashlib
import itertools
from typing import Any

import numpy as np

from pretrainjax.data.pipeline import Pipeline


def take(data: Pipeline, count: int, *, seed: int = 0, **options: Any) -> list[dict]:
  """The first batches of a stream, which is then closed."""
  stream = data.batches(seed=seed, **options)
  try:
    return list(itertools.islice(stream, count))
  finally:
    stream.close()


def digest(batches: list[dict]) -> str:
  """The beginning of a hash of names, types, shapes and bits."""
  found = hashlib.sha256()
  for batch in batches:
    for name in sorted(batch):
      found.update(f"{name} {batch[name].dtype} {batch[name].shape}".encode())
      found.update(np.ascontiguousarray(batch[name]).tobytes())
  return found.hexdigest()[:16]


def same(a: list[dict], b: list[dict]) -> bool:
  """Whether two lists of batches are equal, bit for bit."""
  keys = [sorted(batch) for batch in a]
  return keys == [sorted(batch) for batch in b] and all(
    x[k].dtype == y[k].dtype and np.array_equal(x[k], y[k])
    for x, y in zip(a, b, strict=True)
    for k in x
  )

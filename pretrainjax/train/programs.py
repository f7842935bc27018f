"""The training step, compiled once for each shape that batches have."""

from collections.abc import Callable
from typing import Any

import jax

from pretrainjax.types import Batch


class Programs:
  """Compiled steps by the shapes of their batches: one, or one a bucket of lengths."""

  def __init__(self, program: Callable):
    """Holds none yet.

    Args:
      program: of `Parallel.program`.
    """
    self._program = program
    self._compiled: dict[Any, Callable] = {}

  def __len__(self) -> int:
    return len(self._compiled)

  def has(self, batch: Batch) -> bool:
    """Whether a batch's shapes have been compiled for."""
    return _shapes(batch) in self._compiled

  def compile(self, state: Any, batch: Batch) -> None:
    """Compiles for a batch's shapes; nothing is computed."""
    self._compiled[_shapes(batch)] = self._program.lower(state, batch).compile()

  def __call__(self, state: Any, batch: Batch) -> Any:
    """Takes a step, by what `compile` made."""
    return self._compiled[_shapes(batch)](state, batch)


def _shapes(batch: Batch) -> tuple[Any, ...]:
  leaves, structure = jax.tree.flatten(batch)
  return structure, *((leaf.shape, leaf.dtype) for leaf in leaves)

"""The training step, compiled once for each shape that batches have."""

from collections.abc import Callable
from typing import Any

import jax

from pretrainjax.types import Batch


class Programs:
  """Compiled steps by the shapes of their batches: one, or one a bucket of lengths."""

  def __init__(self, program: Callable):
    """Makes it without any compiled step.

    Args:
      program: the step, as of `Parallel.program`.
    """
    self._program = program
    self._compiled: dict[Any, Callable] = {}

  def __len__(self) -> int:
    return len(self._compiled)

  def has(self, batch: Batch) -> bool:
    """Whether the step is compiled for the shapes of a batch."""
    return _shapes(batch) in self._compiled

  def compile(self, state: Any, batch: Batch) -> None:
    """Compiles the step for the shapes of a batch, without running it."""
    self._compiled[_shapes(batch)] = self._program.lower(state, batch).compile()

  def __call__(self, state: Any, batch: Batch) -> Any:
    """Runs the step that `compile` has made for the shapes of a batch."""
    return self._compiled[_shapes(batch)](state, batch)


def _shapes(batch: Batch) -> tuple[Any, ...]:
  leaves, structure = jax.tree.flatten(batch)
  return structure, *((leaf.shape, leaf.dtype) for leaf in leaves)

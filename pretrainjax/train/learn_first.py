"""What an objective learns from the data before step 1, such as the centres of clusters."""

from collections.abc import Iterable, Iterator

import jax
from flax import nnx

from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import split
from pretrainjax.process.bar import progress_bar
from pretrainjax.train.assemble import Run
from pretrainjax.train.state import TrainState
from pretrainjax.types import Batch

# Of the key, apart from those of steps.
_STREAM = 0x1EA2


def learns_first(objective: Objective) -> bool:
  """Whether an objective learns anything before step 1."""
  return objective.first_batches > 0


def learnt_first(run: Run, state: TrainState) -> TrainState:
  """The first state of a run, with what its objective learns from the data.

  Every process goes through the same whole batches, so that all end with the same numbers.

  Args:
    run: the run, built from its config.
    state: its first state, whole, on one of this process's devices.
  """
  module = nnx.merge(run.graphdef, state.params, state.extras)
  key = jax.random.fold_in(jax.random.wrap_key_data(state.key), _STREAM)
  batches = run.data.batches(seed=run.config.seed, start=0, process_index=0, process_count=1)
  try:
    run.objective.learn_first(module, _counted(batches, run.objective.first_batches), key)
  finally:
    batches.close()
  _, params, extras = split(module)
  return state.replace(params=params, extras=extras)


def _counted(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
  """So many batches, with a progress bar."""
  with progress_bar(count, what="learning before step 1", unit=" batches") as bar:
    for _, batch in zip(range(count), batches, strict=False):
      yield batch
      bar.update()

"""Feeds batches to the devices, from the position in the data that a state holds."""

from collections.abc import Mapping
from typing import NamedTuple

from pretrainjax.train.assemble import Run
from pretrainjax.train.parallel import scalar
from pretrainjax.train.state import TrainState
from pretrainjax.types import Batch


class DeviceBatch(NamedTuple):
  """A batch on the devices.

  Attributes:
    arrays: the arrays of the batch by name.
    index: the position of the batch in the data, from 0.
    counts: the amount of data in the parts of all processes, by unit, such as "tokens".
  """

  arrays: Batch
  index: int
  counts: Mapping[str, int | float]


class Feed:
  """Loads this process's parts of the batches, and sends them to its devices."""

  def __init__(self, run: Run):
    self._run = run
    self._part, self._parts = run.parallel.share(run.data.batch_size)
    self._batches, self._index, self._waited = None, 0, 0.0

  @property
  def wait_seconds(self) -> float:
    """The seconds that the run has waited for data so far."""
    return self._waited + (self._batches.wait_seconds if self._batches else 0.0)

  def start(self, state: TrainState) -> None:
    """Starts at the position of `state`: the next batch is the one that it takes."""
    self.close()
    self._index = int(scalar(state.position))
    self._batches = self._run.data.batches(
      seed=self._run.config.seed,
      start=self._index,
      process_index=self._part,
      process_count=self._parts,
    )

  def next(self) -> DeviceBatch:
    """Returns the next batch, while it is being sent to the devices."""
    assert self._batches is not None
    rows = next(self._batches)
    self._index += 1
    # Of equal parts; to know the others' exactly is not worth an exchange.
    counts = {unit: n * self._parts for unit, n in self._run.data.count(rows).items()}
    return DeviceBatch(self._run.parallel.put(rows), self._index - 1, counts)

  def close(self) -> None:
    """Stops the threads and workers that make batches."""
    if self._batches is not None:
      self._waited = self.wait_seconds
      self._batches.close()
      self._batches = None

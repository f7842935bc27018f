"""Batches on the devices, from wherever the state is in the data."""

from collections.abc import Mapping
from typing import NamedTuple

from pretrainjax.train.assemble import Run
from pretrainjax.train.parallel import scalar
from pretrainjax.train.state import TrainState
from pretrainjax.types import Batch


class DeviceBatch(NamedTuple):
  """A batch on the devices.

  Attributes:
    arrays: by name.
    index: its position in the data, from 0.
    counts: what all processes' parts hold, by unit, such as "tokens".
  """

  arrays: Batch
  index: int
  counts: Mapping[str, int | float]


class Feed:
  """This process's parts of the batches, from wherever a state says."""

  def __init__(self, run: Run):
    self._run = run
    self._part, self._parts = run.parallel.share(run.data.batch_size)
    self._batches, self._index, self._waited = None, 0, 0.0

  @property
  def wait_seconds(self) -> float:
    """How long the run has waited for data, all in all."""
    return self._waited + (self._batches.wait_seconds if self._batches else 0.0)

  def start(self, state: TrainState) -> None:
    """Makes the next batch the one that `state` is to take."""
    self.close()
    self._index = int(scalar(state.position))
    self._batches = self._run.data.batches(
      seed=self._run.config.seed,
      start=self._index,
      process_index=self._part,
      process_count=self._parts,
    )

  def next(self) -> DeviceBatch:
    """The next batch, on its way to the devices."""
    assert self._batches is not None
    rows = next(self._batches)
    self._index += 1
    # Of equal parts; to know the others' exactly is not worth an exchange.
    counts = {unit: n * self._parts for unit, n in self._run.data.count(rows).items()}
    return DeviceBatch(self._run.parallel.put(rows), self._index - 1, counts)

  def close(self) -> None:
    """Ends what makes batches."""
    if self._batches is not None:
      self._waited = self.wait_seconds
      self._batches.close()
      self._batches = None

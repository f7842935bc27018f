"""What becomes of a step once the devices are done with it: rows of metrics, or a warning."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.process.distributed import is_main
from pretrainjax.train.assemble import Run
from pretrainjax.train.bad_steps import record_skipped_step, stop_after_bad_steps
from pretrainjax.train.feed import DeviceBatch
from pretrainjax.train.interval import Interval
from pretrainjax.train.parallel import scalar
from pretrainjax.train.progress import Progress
from pretrainjax.train.roll_back import Spike, should_roll_back
from pretrainjax.train.spikes import LossTrend
from pretrainjax.train.tracking import Tracker

_log = logging.getLogger(__name__)


class QueuedStep(NamedTuple):
  """A step that the devices may still be busy with.

  Attributes:
    step: the number of the step.
    metrics: its metrics by name, on one device of this process.
    batch: the position in the data of its batch, from 0.
    counts: the amount of data in it, by unit.
  """

  step: int
  metrics: Any
  batch: int
  counts: Mapping[str, int | float]


def queued(step: int, metrics: Any, batch: DeviceBatch) -> QueuedStep:
  """Notes a step that was just given to the devices, and has its metrics sent when they are there.

  Args:
    step: the number of the step.
    metrics: the metrics that it will have, see `make_train_step`.
    batch: the batch that it took.
  """
  local = jax.tree.map(lambda value: value.addressable_data(0), metrics)
  for leaf in jax.tree.leaves(local):
    leaf.copy_to_host_async()
  return QueuedStep(step, local, batch.index, batch.counts)


class StepLog:
  """Reads the metrics of finished steps, and writes a row of their means once an interval."""

  def __init__(
    self,
    run: Run,
    *,
    workdir: Path,
    checkpoints: Checkpoints,
    tracker: Tracker,
    progress: Progress,
  ):
    """Makes it for a run that begins an interval.

    Args:
      run: the run, built from its config.
      workdir: the run's folder.
      checkpoints: the checkpoints of the run.
      tracker: where metrics are written.
      progress: the progress of the run, which is shown.
    """
    self._run, self._workdir, self._checkpoints = run, workdir, checkpoints
    self._tracker, self._progress = tracker, progress
    self.interval = Interval()
    self._alarms = dict(run.objective.alarms)

  def finish(self, one: QueuedStep, *, waited: float) -> Spike | None:
    """Waits for a step, and logs what there is to say of it.

    Args:
      one: the oldest step that is not finished.
      waited: the seconds that the run has waited for data so far.

    Returns:
      The spike of the loss that the run is to roll back for, else None.

    Raises:
      UserError: after too many bad steps in a row.
    """
    jax.block_until_ready(one.metrics["loss"])
    self._progress.step(one.step, data_wait_seconds=waited, counts=one.counts)
    trend = one.metrics["trend"]
    values = {name: float(scalar(x)) for name, x in one.metrics.items() if name != "trend"}
    bad_in_row = int(values["bad_in_row"])
    if bad_in_row:
      record_skipped_step(self._run, self._workdir, step=one.step, batch=one.batch, values=values)
    self.interval.add(values, is_skipped=bad_in_row > 0)
    if one.step % self._run.train.log_every == 0 or one.step == self._run.total_steps:
      self._write_row(one.step, values)
    stop_after_bad_steps(
      self._run, self._workdir, step=one.step, in_row=bad_in_row, checkpoints=self._checkpoints
    )
    return None if bad_in_row else self._spike(one, trend, loss=values["loss"])

  def _write_row(self, step: int, values: Mapping[str, float]) -> None:
    mean = self.interval.mean(values)
    self._warn(step, mean)
    self._tracker.write(step, mean | self._progress.rates())
    self._progress.show(mean)
    self.interval.start()

  def _warn(self, step: int, mean: Mapping[str, float]) -> None:
    """Says once of each metric when it is below what is healthy."""
    for name, alarm in self._alarms.items():
      if mean.get(name, alarm.below) < alarm.below and is_main():
        _log.warning("step %d: %s is %.4g: %s", step, name, mean[name], alarm.says)
        self._alarms = {other: a for other, a in self._alarms.items() if other != name}

  def _spike(self, one: QueuedStep, trend: LossTrend, *, loss: float) -> Spike | None:
    """The spike that a step is the last of, where the run is to roll back for it."""
    spikes = self._run.train.spikes
    if spikes.action == "off" or int(scalar(trend.high_in_row)) != spikes.patience:
      return None
    usual, deviation = float(scalar(trend.mean)), float(scalar(trend.variance)) ** 0.5
    spike = Spike(one.step, one.batch, loss, usual, deviation)
    return spike if should_roll_back(self._run, spike, self._checkpoints) else None

"""Runs of the toy through the real loop: data that can be poisoned, and what a run leaves."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optax
import toy
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.objectives.split import abstract_split
from pretrainjax.process.watchdog import Watchdog
from pretrainjax.train.assemble import Run, Train
from pretrainjax.train.duration import Duration
from pretrainjax.train.loop import fit
from pretrainjax.train.parallel import Parallel, scalar
from pretrainjax.train.roll_back import resume
from pretrainjax.train.state import TrainState
from pretrainjax.train.tracking import Tracker, Tracking


class Toy(toy.Toy):
  """Its linear layer passes for an encoder here, where nothing is encoded."""

  def encoder(self, module):
    return module.encoder


class Batches:
  """Rows that depend on the batch; the n-th in `bad` hold a NaN, in `odd` large numbers."""

  batch_size = 16
  wait_seconds = 0.0

  def __init__(self, bad=(), odd=(), on_step=lambda step: None):
    self._bad, self._odd, self._on_step, self.closed = set(bad), set(odd), on_step, False
    self.started = []

  def keys(self, *, seed, step):
    return [f"toy/train/{step * 16 + i}" for i in range(16)]

  def batches(self, *, seed, start, process_index, process_count) -> "Batches":
    assert (process_index, process_count) == (0, 1)
    self.started.append(start)
    self._rows = self._from(start)
    return self

  def _from(self, step: int) -> Iterator:
    while True:
      rows = toy.batch(step)
      step += 1
      if step in self._bad:
        rows["x"][0, 0] = np.nan
      if step in self._odd:
        rows["y"] = rows["y"] + 100
      self._on_step(step)
      yield rows

  def count(self, batch):
    return {}

  def __iter__(self):
    return self

  def __next__(self):
    return next(self._rows)

  def close(self):
    self.closed = True


def make(data: Batches, *, steps: int, evaluators=None, parallel=Parallel(), **train) -> Run:
  """A run of the toy, with further arguments of `Train`."""
  tx = optax.adam(1e-2)
  graphdef, _, _ = abstract_split(Toy())
  options = {"log_every": 1, "checkpoint_every": 2, "tracking": Tracking(tensorboard=False)} | train
  return Run(
    config=ConfigDict({"seed": 0, "data": {"batch_size": data.batch_size}}),
    objective=Toy(),
    data=data,
    parallel=parallel,
    train=Train(duration=Duration(steps=steps), **options),
    evaluators=evaluators or {},
    graphdef=graphdef,
    tx=tx,
    learning_rate=optax.constant_schedule(1e-2),
    total_steps=steps,
  )


def run(
  to_run: Run,
  workdir: Path,
  *,
  profile_to: str | None = None,
  watchdog: Watchdog | None = None,
) -> TrainState:
  """A run to its end, from its newest checkpoint if it has one; the last state."""
  with Checkpoints(workdir, keep=to_run.train.keep) as checkpoints:
    state = resume(to_run, checkpoints, workdir)
    if state is None:
      state = to_run.parallel.make(to_run.init)
    tracker = Tracker(workdir, to_run.train.tracking, step=int(scalar(state.step)))
    try:
      to = {"workdir": workdir, "checkpoints": checkpoints, "tracker": tracker}
      return fit(to_run, state, **to, profile_to=profile_to, watchdog=watchdog)
    finally:
      tracker.close()


def saved(workdir: Path) -> list[int]:
  """Steps of the checkpoints, newest first."""
  with Checkpoints(workdir, read_only=True) as checkpoints:
    return checkpoints.steps()


def rows(workdir: Path) -> list[dict]:
  """Of metrics.jsonl."""
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]

"""The training loop, written in the order in which it runs."""

import collections
import contextlib
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError, one_line
from pretrainjax.process.distributed import agree
from pretrainjax.process.preemption import preemption_notice
from pretrainjax.process.watchdog import Watchdog
from pretrainjax.train.assemble import Run
from pretrainjax.train.bad_steps import record_skipped_step, stop_after_bad_steps
from pretrainjax.train.feed import Feed
from pretrainjax.train.parallel import scalar
from pretrainjax.train.programs import Programs
from pretrainjax.train.progress import Progress
from pretrainjax.train.roll_back import Spike, roll_back, should_roll_back
from pretrainjax.train.state import TrainState
from pretrainjax.train.tracking import Tracker

# More queued steps deadlock simulated devices on few cores, and hide a failure for longer.
_IN_FLIGHT = 2
# The longest time in seconds that processes wait for the evaluation of process 0.
_EVALUATION = 3600.0


class Stopped(Exception):
  """The run was asked to stop by a signal; its state is saved."""

  def __init__(self, step: int):
    super().__init__(f"stopped at step {step}")
    self.step = step


def fit(
  run: Run,
  state: TrainState,
  *,
  workdir: Path,
  checkpoints: Checkpoints,
  tracker: Tracker,
  profile_to: str | None,
  watchdog: Watchdog | None = None,
) -> TrainState:
  """Trains a run from `state.step` to its end.

  Args:
    run: the run, built from its config.
    state: the state to start from, placed by `run.parallel`; it is donated.
    workdir: the folder of the run.
    checkpoints: the checkpoints that states are saved to.
    tracker: the writers that get the metrics.
    profile_to: the folder for a profiler trace of a few steps; None writes none.
    watchdog: the watchdog that is told each phase and step; None has none.

  Returns:
    The last state.

  Raises:
    Stopped: after SIGTERM, once the state is saved.
    UserError: after `max_bad_steps` steps in a row that were not finite, or where the loss jumps
      after `max_roll_backs`.
  """
  # --- start: data from the next batch on, the step compiled -------------------------------
  watchdog = watchdog or Watchdog(0.0)
  step, last_step = int(scalar(state.step)), run.total_steps
  feed = Feed(run)
  trace = _Trace(profile_to, first=min(step + 5, last_step))
  with (
    contextlib.closing(feed),
    contextlib.closing(trace),
    preemption_notice() as is_preempted,
    watchdog.phase("step"),
  ):
    if step >= last_step:
      return state
    with watchdog.phase("start"):
      feed.start(state)
    with watchdog.phase("data"):
      batch = feed.next()
    with watchdog.phase("start"):
      program = run.parallel.program(run.step(), state)
      # Steps of several lengths have no one number.
      is_one = getattr(run.data, "padding", None) is None
      flops = run.parallel.flops(program, state, batch.arrays) if is_one else None
      train_step = Programs(program)
      train_step.compile(state, batch.arrays)
    progress = Progress(start=step, total=last_step, batch_size=run.data.batch_size, flops=flops)
    finish = functools.partial(
      _finish, run, workdir=workdir, checkpoints=checkpoints, tracker=tracker, progress=progress
    )
    in_flight: collections.deque[_Queued] = collections.deque()
    results: dict[str, float] = {}
    stop = False

    # --- steps --------------------------------------------------------------------------
    while step < last_step:
      step += 1
      watchdog.begin_step(step)
      trace.before(step)
      if not train_step.has(batch.arrays):  # rows of another length
        with progress.paused(), watchdog.phase("start"):
          train_step.compile(state, batch.arrays)
      state, metrics = train_step(state, batch.arrays)
      in_flight.append(_Queued(step, metrics, batch.index, batch.counts))
      if step < last_step:
        with watchdog.phase("data"):
          batch = feed.next()  # while the device works
      last = step == last_step
      due = {n: e for n, e in run.evaluators.items() if last or (e.every and step % e.every == 0)}
      stop = is_preempted() or stop
      save = last or stop or step % run.train.checkpoint_every == 0
      spike = None
      while spike is None and len(in_flight) > (0 if due or save else _IN_FLIGHT):
        spike = finish(in_flight.popleft(), waited=feed.wait_seconds)

      # --- the loss has jumped: back to a checkpoint, on with the batches after this -------
      if spike is not None:
        in_flight.clear()
        roll_backs = int(scalar(state.roll_backs))
        del state, metrics  # there may be no room for two
        with watchdog.phase("checkpoint"):
          state = roll_back(
            run,
            spike,
            roll_backs=roll_backs,
            workdir=workdir,
            checkpoints=checkpoints,
            tracker=tracker,
          )
        step = int(scalar(state.step))
        with watchdog.phase("data"):
          feed.start(state)
          batch = feed.next()
        continue

      # --- now and then: evaluate, save, stop ---------------------------------------------
      if due:
        with progress.paused(), watchdog.phase("evaluation"):
          results = evaluate(run, state, due, step=step)
        tracker.write(step, results)
      if save:
        whole = run.parallel.whole(state)
        with watchdog.phase("checkpoint"):
          checkpoints.save(step, whole, config=run.config, metrics=results if due else None)
      if stop:
        with watchdog.phase("checkpoint"):
          checkpoints.wait()
        raise Stopped(step)
    with watchdog.phase("checkpoint"):
      checkpoints.wait()
    progress.close()
    return state


def evaluate(
  run: Run, state: TrainState, evaluators: Mapping[str, Any], *, step: int
) -> dict[str, float]:
  """Runs evaluators on a state, on every process; returns numbers by "evaluator/number".

  Args:
    run: the run, built from its config.
    state: the state whose encoder is measured.
    evaluators: the evaluators by name.
    step: the step of the state, under which processes exchange the results.
  """
  module = run.module(run.parallel.local(run.parallel.whole(state)))
  encoder = run.objective.encoder(module)
  results = {}
  for name, evaluator in evaluators.items():
    subject = module if getattr(evaluator, "needs_module", False) else encoder
    try:
      numbers = evaluator.run(subject)
    except ValueError as error:
      raise UserError(f"config.evals.{name}: {one_line(error)}") from error
    results |= {f"{name}/{key}": float(v) for key, v in numbers.items()}
  # They choose the checkpoints that stay, which all processes must do alike.
  said = agree(f"results of step {step}", json.dumps(results), seconds=_EVALUATION)
  return json.loads(said)


class _Queued(NamedTuple):
  """A step that the devices may still be busy with, and the batch that it took."""

  step: int
  metrics: Any
  batch: int
  counts: Mapping[str, int | float]


def _finish(
  run: Run,
  queued: _Queued,
  *,
  waited: float,
  workdir: Path,
  checkpoints: Checkpoints,
  tracker: Tracker,
  progress: Progress,
) -> Spike | None:
  """Waits for the metrics of a step and logs them when due.

  Returns the spike that the run is to roll back for, else None. After too many bad steps it raises.
  """
  step, metrics, batch, counts = queued
  jax.block_until_ready(metrics["loss"])
  progress.step(step, data_wait_seconds=waited, counts=counts)
  trend = metrics.pop("trend")
  bad, high = int(scalar(metrics["bad_in_row"])), int(scalar(trend.high_in_row))
  spikes = run.train.spikes
  jumped = not bad and high == spikes.patience and spikes.action != "off"
  due = step % run.train.log_every == 0 or step == run.total_steps
  if not (bad or due or jumped):
    return None
  values = {name: float(scalar(value)) for name, value in metrics.items()}
  if bad:
    record_skipped_step(run, workdir, step=step, batch=batch, values=values)
  if due:
    tracker.write(step, values | progress.rates())
    progress.show(values)
  stop_after_bad_steps(run, workdir, step=step, in_row=bad, checkpoints=checkpoints)
  if not jumped:
    return None
  usual, deviation = float(scalar(trend.mean)), float(scalar(trend.variance)) ** 0.5
  spike = Spike(step, batch, values["loss"], usual, deviation)
  return spike if should_roll_back(run, spike, checkpoints) else None


class _Trace:
  """Writes a profiler trace of ten steps, or of those that are left, once the first are warm."""

  def __init__(self, folder: str | None, *, first: int):
    self._folder, self._first = folder, first
    self._running = False

  def before(self, step: int) -> None:
    """Starts or ends the trace where `step` is the one to do so."""
    if self._folder is not None and step == self._first:
      jax.profiler.start_trace(self._folder)
      self._running = True
    if step == self._first + 10:
      self.close()

  def close(self) -> None:
    """Writes the trace; a run may end before its ten steps."""
    if self._running:
      self._running = False
      jax.profiler.stop_trace()

"""The training loop, written in the order in which it runs."""

import collections
import contextlib
from collections.abc import Mapping
from pathlib import Path

import jax

from pretrainjax.checkpoint.best import best_step
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError
from pretrainjax.process.interruptible import Interrupted
from pretrainjax.process.preemption import Notice, preemption_notice
from pretrainjax.process.watchdog import Watchdog
from pretrainjax.train.assemble import Run
from pretrainjax.train.bad_steps import saved_steps
from pretrainjax.train.chosen import measured_once, restore_best
from pretrainjax.train.evaluation import due_evaluators, evaluate
from pretrainjax.train.feed import DeviceBatch, Feed
from pretrainjax.train.parallel import scalar
from pretrainjax.train.programs import Programs
from pretrainjax.train.progress import Progress
from pretrainjax.train.roll_back import Spike, roll_back
from pretrainjax.train.state import TrainState
from pretrainjax.train.step_log import QueuedStep, StepLog, queued
from pretrainjax.train.trace import Trace
from pretrainjax.train.tracking import Tracker
from pretrainjax.types import Evaluator

# More queued steps deadlock simulated devices on few cores, and hide a failure for longer.
_IN_FLIGHT = 2
# Steps that a profiler trace begins after, when all is warm.
_WARM_UP = 5


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
  """Trains from `state.step` to the end.

  Args:
    run: the run, built from its config.
    state: the state to start from, placed by `run.parallel`; it is donated.
    workdir: the run's folder.
    checkpoints: where states are saved.
    tracker: where metrics are written.
    profile_to: the folder for a profiler trace of a few steps; None writes none.
    watchdog: the watchdog that is told each phase and step; None has none.

  Returns:
    The last state.

  Raises:
    Stopped: after SIGTERM, once the state is saved.
    UserError: after `max_bad_steps` steps in a row that were not finite, where the loss jumps
      after `max_roll_backs`, or for what an evaluator refuses, once the state is saved.
  """
  watchdog = watchdog or Watchdog(0.0)
  with preemption_notice() as notice, watchdog.phase("step"):
    loop = _Loop(
      run,
      state,
      workdir=workdir,
      checkpoints=checkpoints,
      tracker=tracker,
      notice=notice,
      watchdog=watchdog,
    )
    with contextlib.closing(loop):
      return loop.run_to_the_end(profile_to)


class _Loop:
  """A run at one of its steps."""

  # Of the next step, once the run has started.
  _program: Programs
  _batch: DeviceBatch

  def __init__(
    self,
    run: Run,
    state: TrainState,
    *,
    workdir: Path,
    checkpoints: Checkpoints,
    tracker: Tracker,
    notice: Notice,
    watchdog: Watchdog,
  ):
    self._run, self._workdir = run, workdir
    self._checkpoints, self._tracker = checkpoints, tracker
    self._notice, self._watchdog = notice, watchdog
    self._state, self._step = state, int(scalar(state.step))
    self._saved: int | None = None  # the newest step that is, or was to be
    self._is_stopping = False
    # Of the step that is chosen, when all is done.
    self._once = measured_once(run.evaluators, metric=run.train.keep.metric)
    self._feed, self._trace = Feed(run), Trace(None, first=0)
    self._progress = Progress(
      start=self._step, total=run.total_steps, batch_size=run.data.batch_size
    )
    self._log = StepLog(
      run, workdir=workdir, checkpoints=checkpoints, tracker=tracker, progress=self._progress
    )
    self._in_flight: collections.deque[QueuedStep] = collections.deque()

  def run_to_the_end(self, profile_to: str | None) -> TrainState:
    """Trains to the last step, of which none may be left."""
    self._finish_what_a_stop_has_left()
    if self._step < self._run.total_steps:
      self._start(profile_to)
    while self._step < self._run.total_steps:
      self._take_step()
      if (spike := self._finish_steps()) is not None:
        self._roll_back(spike)
        continue
      if self._is_save_due():
        self._save()
      if self._is_stopping:
        self._stop()
      self._evaluate(self._due())
    self._save_for_good()
    self._evaluate_the_chosen()
    self._progress.close()
    return self._state

  def close(self) -> None:
    """Stops what makes batches, and ends a trace."""
    self._trace.close()
    self._feed.close()

  # --- start: data from the next batch on, the step compiled ------------------------------------

  def _finish_what_a_stop_has_left(self) -> None:
    """Evaluates a step that was saved, and then killed or stopped before its evaluation was done.

    A run of no steps is saved and evaluated as it is.
    """
    due = self._due()
    if self._step in saved_steps(self._checkpoints):
      self._saved = self._step
      self._log.interval.start(self._checkpoints.interval(self._step))
      missing = self._checkpoints.not_yet_run(self._step, due)
      due = {name: evaluator for name, evaluator in due.items() if name in missing}
    elif self._step == self._run.total_steps:
      self._save()
    self._evaluate(due)

  def _start(self, profile_to: str | None) -> None:
    """Loads the next batch, and compiles the step for it."""
    run, state, phase = self._run, self._state, self._watchdog.phase
    with phase("start"):
      self._feed.start(state)
    with phase("data"):
      self._batch = self._feed.next()
    with phase("start"):
      program = run.parallel.program(run.step(), state)
      if getattr(run.data, "padding", None) is None:  # steps of several lengths have no one number
        self._progress.set_flops(run.parallel.flops(program, state, self._batch.arrays))
      self._program = Programs(program)
      self._program.compile(state, self._batch.arrays)
    self._trace = Trace(profile_to, first=min(self._step + _WARM_UP, run.total_steps))

  # --- steps ------------------------------------------------------------------------------------

  def _take_step(self) -> None:
    """Gives the next step to the devices, and loads the batch after it while they work."""
    self._step += 1
    self._watchdog.begin_step(self._step)
    self._trace.before(self._step)
    batch = self._batch
    if not self._program.has(batch.arrays):  # rows of another length
      with self._progress.paused(), self._watchdog.phase("start"):
        self._program.compile(self._state, batch.arrays)
    self._state, metrics = self._program(self._state, batch.arrays)
    self._in_flight.append(queued(self._step, metrics, batch))
    if self._step < self._run.total_steps:
      with self._watchdog.phase("data"):
        self._batch = self._feed.next()
    self._is_stopping = self._notice.is_last_step() or self._is_stopping

  def _finish_steps(self) -> Spike | None:
    """Waits for all steps but those that may be in flight; for all where the state is wanted."""
    most = 0 if self._is_save_due() or self._due() else _IN_FLIGHT
    while len(self._in_flight) > most:
      one = self._in_flight.popleft()
      if (spike := self._log.finish(one, waited=self._feed.wait_seconds)) is not None:
        return spike
    return None

  def _roll_back(self, spike: Spike) -> None:
    """Goes back to a checkpoint, and on with the batches after the spike of the loss."""
    self._in_flight.clear()
    roll_backs = int(scalar(self._state.roll_backs))
    del self._state  # there may be no room for two
    with self._watchdog.phase("checkpoint"):
      self._state = roll_back(
        self._run,
        spike,
        roll_backs=roll_backs,
        workdir=self._workdir,
        checkpoints=self._checkpoints,
        tracker=self._tracker,
      )
    self._step = self._saved = int(scalar(self._state.step))
    self._log.interval.start(self._checkpoints.interval(self._step))
    with self._watchdog.phase("data"):
      self._feed.start(self._state)
      self._batch = self._feed.next()

  # --- now and then: save, stop, evaluate -------------------------------------------------------

  def _is_save_due(self) -> bool:
    is_last = self._step == self._run.total_steps
    return is_last or self._is_stopping or self._step % self._run.train.checkpoint_every == 0

  def _due(self) -> dict[str, Evaluator]:
    due = due_evaluators(self._run.evaluators, step=self._step, last_step=self._run.total_steps)
    return {name: evaluator for name, evaluator in due.items() if name not in self._once}

  def _save(self) -> None:
    """Starts to save the state, unless it is saved already."""
    if self._saved == self._step:
      return
    self._saved = self._step
    whole, interval = self._run.parallel.whole(self._state), self._log.interval.plain()
    with self._watchdog.phase("checkpoint"):
      self._checkpoints.save(self._step, whole, config=self._run.config, interval=interval)

  def _save_for_good(self) -> None:
    """Saves the state, and waits until it is durable."""
    self._save()
    with self._watchdog.phase("checkpoint"):
      self._checkpoints.wait()

  def _stop(self) -> None:
    """Saves the state for good, and ends the run."""
    self._save_for_good()
    raise Stopped(self._step)

  def _evaluate_the_chosen(self) -> None:
    """Measures once what is measured on the best step alone; on the last where none is better."""
    if not self._once:
      return
    parallel, best = self._run.parallel, best_step(self._checkpoints, self._run.train.keep)
    step = self._step if best is None else best.step
    due = {name: self._once[name] for name in self._checkpoints.not_yet_run(step, self._once)}
    if due and step != self._step:
      with self._watchdog.phase("checkpoint"):
        last = jax.device_get(parallel.local(parallel.whole(self._state)))
        del self._state  # there may be no room for two
        step, state = restore_best(self._run, self._checkpoints, last=self._step)
      try:
        if state is not None:
          self._measure(due, step=step, whole=state)
      finally:
        del state
        self._state = parallel.place(last)
    if step == self._step:
      self._evaluate(due)

  def _evaluate(self, due: Mapping[str, Evaluator]) -> None:
    """Evaluates the state, which is saved first, and notes the numbers with the step.

    A step at which none is saved is saved all the same where its evaluation is stopped or fails.
    """
    if due:
      self._measure(due, step=self._step, whole=self._run.parallel.whole(self._state))

  def _measure(self, due: Mapping[str, Evaluator], *, step: int, whole: TrainState) -> None:
    """Evaluates a whole state of a step, and notes the numbers with the step."""
    with self._watchdog.phase("checkpoint"):
      self._checkpoints.wait_until_idle()
    run = self._run
    module = run.module(run.parallel.local(whole))
    encoder = run.objective.encoder(module)
    try:
      with self._progress.paused(), self._watchdog.phase("evaluation"):
        numbers = evaluate(
          due, encoder=encoder, module=module, step=step, stop=self._notice.has_come
        )
    except Interrupted:
      self._stop()
    except UserError as error:
      self._save_for_good()
      raise UserError(
        f"{error}; step {self._step} is saved: mend it, or switch the evaluator off (=None, "
        "--allow_config_change), and start the same command again"
      ) from error
    except Exception:
      self._save_for_good()
      raise
    self._tracker.write(step, numbers)
    if step in (self._saved, *range(self._step)):  # an earlier one was restored
      with self._watchdog.phase("checkpoint"):
        self._checkpoints.note(step, evaluators=due, numbers=numbers)

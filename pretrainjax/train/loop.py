"""The training loop: read it in the order it runs."""

import collections
import contextlib
import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import one_line
from pretrainjax.distributed import agree, is_asked_to_stop, is_connected
from pretrainjax.errors import UserError
from pretrainjax.train.assemble import Run
from pretrainjax.train.parallel import scalar
from pretrainjax.train.progress import Progress, count_tokens
from pretrainjax.train.state import TrainState
from pretrainjax.train.tracking import Tracker

# More queued steps deadlock simulated devices on few cores, and hide a failure for longer.
_IN_FLIGHT = 2
# Seconds that processes wait for the first one's evaluation, at most.
_EVALUATION = 3600.0
_log = logging.getLogger(__name__)


class Stopped(Exception):
  """The run was asked to stop by a signal; its state is saved."""

  def __init__(self, step: int):
    super().__init__(f"stopped at step {step}")
    self.step = step


def fit(
  run: Run, state: TrainState, *, checkpoints: Checkpoints, tracker: Tracker, profile_to: str | None
) -> TrainState:
  """Trains from `state.step` to the end.

  Args:
    run: the config, built.
    state: where to start, placed by `run.parallel`; it is donated.
    checkpoints: where states go.
    tracker: where metrics go.
    profile_to: folder for a trace of a few steps; None takes none.

  Returns:
    The last state.

  Raises:
    Stopped: on SIGTERM, after a save.
    UserError: after `max_bad_steps` steps in a row that were not finite.
  """
  # --- start: data from this very step on, the step compiled -------------------------------
  start = int(scalar(state.step))
  part, parts = run.parallel.share(run.data.batch_size)
  batches = run.data.batches(
    seed=run.config.seed, start=start, process_index=part, process_count=parts
  )
  trace = _Trace(profile_to, first=min(start + 5, run.total_steps))
  with contextlib.closing(batches), contextlib.closing(trace), _noting_sigterm() as is_asked:
    if start >= run.total_steps:
      return state
    batch, tokens = _next(run, batches, parts)
    program = run.parallel.program(run.step(), state)
    flops = run.parallel.flops(program, state, batch)
    train_step = program.lower(state, batch).compile()
    progress = Progress(
      start=start,
      total=run.total_steps,
      batch_size=run.data.batch_size,
      flops=flops,
    )
    in_flight: collections.deque = collections.deque()
    results: dict[str, float] = {}

    # --- steps --------------------------------------------------------------------------
    for step in range(start + 1, run.total_steps + 1):
      trace.before(step)
      state, metrics = train_step(state, batch)
      in_flight.append((step, metrics, tokens))
      if step < run.total_steps:
        batch, tokens = _next(run, batches, parts)  # while the device works
      while len(in_flight) > _IN_FLIGHT or (in_flight and step == run.total_steps):
        _finish(run, *in_flight.popleft(), progress=progress, batches=batches, tracker=tracker)

      # --- now and then: evaluate, save, stop ---------------------------------------------
      last = step == run.total_steps
      due = {n: e for n, e in run.evaluators.items() if last or (e.every and step % e.every == 0)}
      stop = is_asked(step)
      save = last or stop or step % run.train.checkpoint_every == 0
      if due or save or stop:
        while in_flight:
          _finish(run, *in_flight.popleft(), progress=progress, batches=batches, tracker=tracker)
      if due:
        with progress.paused():
          results = evaluate(run, state, due, step=step)
        tracker.write(step, results)
      if save:
        whole = run.parallel.whole(state)
        checkpoints.save(step, whole, config=run.config, metrics=results if due else None)
      if stop:
        checkpoints.wait()
        raise Stopped(step)
    checkpoints.wait()
    progress.close()
    return state


def evaluate(
  run: Run, state: TrainState, evaluators: Mapping[str, Any], *, step: int
) -> dict[str, float]:
  """Runs evaluators on a state, each process the whole of them; numbers by "evaluator/number"."""
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


def _next(run: Run, batches: Iterator, parts: int) -> tuple[Any, int]:
  """The next batch on the devices, and its tokens of text in all its parts, without padding."""
  batch = next(batches)
  return run.parallel.put(batch), count_tokens(batch) * parts


def _finish(
  run: Run,
  step: int,
  metrics: Any,
  tokens: int,
  *,
  progress: Progress,
  batches: Iterator,
  tracker: Tracker,
) -> None:
  """Waits for a step's numbers, logs them when due, and stops a run that has gone bad."""
  jax.block_until_ready(metrics["loss"])
  progress.step(step, data_wait_seconds=batches.wait_seconds, tokens=tokens)
  bad = int(scalar(metrics["bad_in_row"]))
  due = step % run.train.log_every == 0 or step == run.total_steps
  if not (bad or due):
    return
  values = {name: float(scalar(value)) for name, value in metrics.items()}
  if bad:
    _log.warning(
      "step %d skipped: loss %s, gradient norm %s", step, values["loss"], values["grad_norm"]
    )
  if due:
    tracker.write(step, values | progress.rates())
    progress.show(values)
  if bad >= run.train.max_bad_steps:
    raise UserError(
      f"--config.train.max_bad_steps: {bad} steps in a row up to step {step} had no finite loss or "
      "gradient and were skipped; the checkpoints before are intact; lower "
      "--config.optimizer.learning_rate or set --config.optimizer.clip_norm"
    )


@contextlib.contextmanager
def _noting_sigterm() -> Iterator[Callable[[int], bool]]:
  """Notes SIGTERM instead of dying of it; gives a function that says at each step if it came."""
  if is_connected():  # JAX notes it, and a handler of ours would be in its way
    yield is_asked_to_stop
    return
  came = []
  before = signal.signal(signal.SIGTERM, lambda *_: came.append(time.monotonic()))
  try:
    yield lambda step: bool(came)
  finally:
    if not came:  # those who ask often mean the same: it must not kill what is being closed
      signal.signal(signal.SIGTERM, before)


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

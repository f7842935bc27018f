"""A watchdog: notices that a run makes no progress, and names the phase that it is stuck in."""

import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from pretrainjax.process import data_workers

Phase = Literal["start", "data", "step", "evaluation", "checkpoint"]
# Exit status of a run that made no progress, as timeout(1) has it.
STUCK = 124
# The factor of the time limit by phase: a first compilation takes as long as it needs, and an
# evaluation runs as a whole without saying that it goes on.
_PATIENCE = {"start": float("inf"), "evaluation": 4.0}


class Activity(NamedTuple):
  """The phase and the step that a run is in.

  Attributes:
    phase: the innermost phase; "" before the first and after the last.
    step: the last step that was begun.
    seconds: the time since the last progress, without time in which the whole process was stopped.
  """

  phase: str
  step: int
  seconds: float

  def __str__(self) -> str:
    return f"in phase '{self.phase}' at step {self.step}" if self.phase else "between phases"


class Watchdog:
  """A thread that checks that the main thread, which reports its phases, makes progress.

  Time counts only while this thread runs, too: a process that was stopped and goes on, or a machine
  that slept, is not stuck.
  """

  def __init__(
    self,
    seconds: float,
    *,
    on_stuck: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Makes a watchdog, whose thread starts with the first phase.

    Args:
      seconds: the longest time without progress; 0 sets no limit. Evaluation may take four times as
        long, and "start" as long as it needs.
      on_stuck: the function that is called in the thread with one line for the user, and that ends
        the process. Where it returns instead, the time begins anew.
      clock: a monotonic clock in seconds, which changes of the time of day do not move.
    """
    self._seconds, self._on_stuck, self._clock = seconds, on_stuck, clock
    self._poll_seconds = min(1.0, seconds / 4)
    # Phases within each other, outermost first; replaced as a whole, so that no lock is needed.
    self._phases: tuple[str, ...] = ()
    self._step = self._moves = self._seen = 0
    self._awake = 0.0
    self._ended = threading.Event()
    self._thread: threading.Thread | None = None

  @contextlib.contextmanager
  def phase(self, name: Phase) -> Iterator[None]:
    """Marks what is done inside as this phase; the time of the phase around it then begins anew."""
    before = self._phases
    self._enter((*before, name))
    try:
      yield
    finally:
      self._enter(before)

  def begin_step(self, step: int) -> None:
    """Notes that a step begins, which counts as progress."""
    self._step = step
    self._moves += 1

  def activity(self) -> Activity:
    """The phase and step of the main thread, as the watchdog saw them last."""
    phases = self._phases
    return Activity(phases[-1] if phases else "", self._step, self._awake)

  def stop(self) -> None:
    """Ends the thread."""
    self._ended.set()
    if self._thread is not None and self._thread is not threading.current_thread():
      self._thread.join()

  def _enter(self, phases: tuple[str, ...]) -> None:
    self._phases = phases
    self._moves += 1
    if self._thread is None and self._seconds > 0:
      self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
      self._thread.start()

  def _watch(self) -> None:
    last = self._clock()
    while not self._ended.wait(self._poll_seconds):
      now = self._clock()
      if self._is_stuck(now - last):
        activity = self.activity()
        self._on_stuck(f"no progress for {activity.seconds:.0f} s {activity}")
        self._awake = 0.0
      last = now

  def _is_stuck(self, passed: float) -> bool:
    """Adds the time since the last check; whether the limit is passed."""
    moves, phases = self._moves, self._phases
    # A check that comes very late was itself kept from running.
    self._awake = 0.0 if moves != self._seen else self._awake + min(passed, 2 * self._poll_seconds)
    self._seen = moves
    allowed = self._seconds * _PATIENCE.get(phases[-1], 1.0) if phases else float("inf")
    return self._awake > allowed


def write_stacks() -> None:
  """Writes the stacks of all threads to standard error, then those of the data workers."""
  names = {thread.ident: thread.name for thread in threading.enumerate()}
  for ident, frame in sys._current_frames().items():
    if ident != threading.get_ident():
      stack = "".join(traceback.format_stack(frame))
      sys.stderr.write(f"--- thread {names.get(ident, ident)}\n{stack}")
  sys.stderr.flush()
  data_workers.write_stacks()

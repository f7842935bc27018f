"""Notices that a run makes no progress, and what it was doing when it stopped."""

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
# How long a phase may take, in units of what others may: a first compilation as long as it needs,
# and whoever evaluates does so in one piece.
_PATIENCE = {"start": float("inf"), "evaluation": 4.0}


class Doing(NamedTuple):
  """What a run does.

  Attributes:
    phase: of the run; "" before and after it.
    step: the last one begun.
    seconds: since the phase was entered, or gone on with, without those in which all stood still.
  """

  phase: str
  step: int
  seconds: float

  def __str__(self) -> str:
    return f"in phase '{self.phase}' at step {self.step}" if self.phase else "between phases"


class Watchdog:
  """A thread that looks on while the main thread says what it does.

  Time counts only while this thread runs, too: a process that was stopped and goes on, or a machine
  that slept, is not stuck.
  """

  def __init__(
    self,
    seconds: float,
    *,
    act: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Makes it; it begins with the first phase.

    Args:
      seconds: that a phase may take; 0 lets all take what they need. Evaluation may take four times
        as long, and "start" as long as it needs.
      act: called in the thread with one line for the user; it is to end the process. Where it knows
        better and returns, the time begins anew.
      clock: in seconds; jumps of the time of day must not move it.
    """
    self._seconds, self._act, self._clock = seconds, act, clock
    self._look_every = min(1.0, seconds / 4)
    # Phases within each other, outermost first; replaced as a whole, so that no lock is needed.
    self._phases: tuple[str, ...] = ()
    self._step = self._moves = self._seen = 0
    self._awake = 0.0
    self._ended = threading.Event()
    self._thread: threading.Thread | None = None

  @contextlib.contextmanager
  def phase(self, name: Phase) -> Iterator[None]:
    """What is done inside is this phase; the one around it then begins anew."""
    before = self._phases
    self._enter((*before, name))
    try:
      yield
    finally:
      self._enter(before)

  def at(self, step: int) -> None:
    """Notes the step that begins, which is progress."""
    self._step = step
    self._moves += 1

  def doing(self) -> Doing:
    """What the main thread does, as this thread saw it last."""
    phases = self._phases
    return Doing(phases[-1] if phases else "", self._step, self._awake)

  def stop(self) -> None:
    """Ends the thread."""
    self._ended.set()
    if self._thread is not None and self._thread is not threading.current_thread():
      self._thread.join()

  def _enter(self, phases: tuple[str, ...]) -> None:
    self._phases = phases
    self._moves += 1
    if self._thread is None and self._seconds > 0:
      self._thread = threading.Thread(target=self._look_on, daemon=True, name="watchdog")
      self._thread.start()

  def _look_on(self) -> None:
    last = self._clock()
    while not self._ended.wait(self._look_every):
      now = self._clock()
      if self._looked(now - last):
        doing = self.doing()
        self._act(f"no progress for {doing.seconds:.0f} s {doing}")
        self._awake = 0.0
      last = now

  def _looked(self, passed: float) -> bool:
    """Counts the time since the last look; whether it is too much."""
    moves, phases = self._moves, self._phases
    # A look that comes very late was itself kept from running.
    self._awake = 0.0 if moves != self._seen else self._awake + min(passed, 2 * self._look_every)
    self._seen = moves
    allowed = self._seconds * _PATIENCE.get(phases[-1], 1.0) if phases else float("inf")
    return self._awake > allowed


def write_stacks() -> None:
  """Writes what all threads do to standard error, and lets workers write theirs."""
  names = {thread.ident: thread.name for thread in threading.enumerate()}
  for ident, frame in sys._current_frames().items():
    if ident != threading.get_ident():
      stack = "".join(traceback.format_stack(frame))
      sys.stderr.write(f"--- thread {names.get(ident, ident)}\n{stack}")
  sys.stderr.flush()
  data_workers.write_stacks()

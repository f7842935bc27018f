"""SIGTERM on any process of a run stops all of them after the same step.

JAX has a service for it, which a soak found to answer up to a minute late, or never. Here the one
that was asked leaves a word in the coordination service's store; a thread of each process looks
for it, holds its loop before the next step, and says how far that has come. All stop one step after
the furthest. Threads do it, for the loop itself may be waiting for another process's step.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pretrainjax.distributed import client, index, is_connected, number_of_processes

_ASKED, _TURNS = "pretrainjax/stop/asked", "pretrainjax/stop/turn"
# Seconds: between looks into the store; for another process to say how far it is.
_LOOK_EVERY, _PATIENCE = 0.5, 60.0


class Noted:
  """A handler of SIGTERM that notes it, instead of dying of it."""

  came = False

  def __call__(self, number: int, frame: Any) -> None:
    """Notes it."""
    self.came = True


def note_sigterm() -> Noted:
  """From now on this process notes SIGTERM; where it did so before, the same note."""
  handler = signal.getsignal(signal.SIGTERM)
  if not isinstance(handler, Noted):
    handler = Noted()
    signal.signal(signal.SIGTERM, handler)
  return handler


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
  """Gives a function that says whether to stop now; all processes call it once a step."""
  before = signal.getsignal(signal.SIGTERM)
  noted = note_sigterm()
  if is_connected():  # the note stays: what comes later must not kill one of several
    together = Together(noted, client(), index=index(), count=number_of_processes())
    yield together.is_reached
    return
  try:
    yield lambda: noted.came
  finally:
    if not noted.came:  # those who ask often mean the same: it must not kill what is being closed
      signal.signal(signal.SIGTERM, before)


class Together:
  """Agrees with the other processes on the step to stop after."""

  def __init__(
    self, noted: Noted, service: Any, *, index: int, count: int, look_every: float = _LOOK_EVERY
  ):
    """Starts the thread, which lives as long as the process: others may ask for its word.

    Args:
      noted: of this process.
      service: the client of JAX's coordination service.
      index: this process's number.
      count: of processes.
      look_every: seconds.
    """
    self._noted, self._service = noted, service
    self._index, self._count, self._look_every = index, count, look_every
    self._turn, self._last = 0, None
    self._holding = threading.Lock()
    threading.Thread(target=self._agree, daemon=True, name="preemption").start()

  def is_reached(self) -> bool:
    """Whether to stop now; counts the calls, which all processes make alike."""
    with self._holding:
      self._turn += 1
      return self._last is not None and self._turn >= self._last

  def _agree(self) -> None:
    try:
      self._wait_for_the_word()
      with self._holding:
        self._service.key_value_set(f"{_TURNS}/{self._index}", str(self._turn))
        keys = [f"{_TURNS}/{i}" for i in range(self._count)]
        said = [self._service.blocking_key_value_get(k, int(1000 * _PATIENCE)) for k in keys]
        self._last = max(map(int, said)) + 1
    except Exception:  # the service is gone, and with it the run; others say so
      return

  def _wait_for_the_word(self) -> None:
    pause = threading.Event()
    while not self._service.key_value_dir_get(_ASKED):
      if self._noted.came:
        self._service.key_value_set(f"{_ASKED}/{self._index}", "yes", allow_overwrite=True)
      else:
        pause.wait(self._look_every)

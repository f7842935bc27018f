"""SIGTERM on any process of a run stops all of them after the same step.

JAX has a service for it, which a soak found to answer up to a minute late, or never. Here the one
that was asked leaves a word in the coordination service's store; a thread of each process looks
for it, holds its loop before the next step, and says how far that has come. All stop one step after
the furthest. Threads do it, for the loop itself may be waiting for another process's step.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from pretrainjax.process.distributed import client, index, is_connected, number_of_processes

_ASKED, _TURNS = "pretrainjax/stop/asked", "pretrainjax/stop/turn"
# Seconds: between looks into the store; for another process to say how far it is.
_LOOK_EVERY, _PATIENCE = 0.5, 60.0
# Milliseconds that a call for another's word may take, as `close` waits for it.
_ASK_FOR = 500


class Noted:
  """A handler of SIGTERM that notes it, instead of dying of it.

  Attributes:
    came: whether it did.
    together: with whom to agree then; None where this process is the only one.
  """

  def __init__(self):
    self.came = False
    self.together: Together | None = None

  def __call__(self, number: int, frame: Any) -> None:
    """Notes it."""
    self.came = True

  def close(self) -> None:
    """Nobody is to be agreed with any more; see `Together.close`."""
    if self.together is not None:
      self.together.close()


def note_sigterm() -> Noted:
  """From now on this process notes SIGTERM; where it did so before, the same note."""
  handler = signal.getsignal(signal.SIGTERM)
  if not isinstance(handler, Noted):
    handler = Noted()
    signal.signal(signal.SIGTERM, handler)
  if handler.together is None and is_connected():
    handler.together = Together(handler, client(), index=index(), count=number_of_processes())
  return handler


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
  """Gives a function that says whether to stop now; all processes call it once a step."""
  before = signal.getsignal(signal.SIGTERM)
  noted = note_sigterm()
  if noted.together is not None:  # the note stays: what comes later must not kill one of several
    yield noted.together.is_reached
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
    """Starts the thread, which lives until `close`: others may ask for its word.

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
    self._holding, self._closed = threading.Lock(), threading.Event()
    self._thread = threading.Thread(target=self._agree, daemon=True, name="preemption")
    self._thread.start()

  def is_reached(self) -> bool:
    """Whether to stop now; counts the calls, which all processes make alike."""
    with self._holding:
      self._turn += 1
      return self._last is not None and self._turn >= self._last

  def close(self) -> None:
    """Ends the thread; all processes are done, and the service is still there.

    A thread that is in a call to the service while Python ends aborts the process (measured: 13 of
    24 that looked without a pause).
    """
    self._closed.set()
    self._thread.join()

  def _agree(self) -> None:
    try:
      if not self._is_word_out():
        return
      with self._holding:
        self._service.key_value_set(f"{_TURNS}/{self._index}", str(self._turn))
        self._last = max(self._turn_of(i) for i in range(self._count)) + 1
    except Exception:  # the service is gone, and with it the run; others say so
      return

  def _is_word_out(self) -> bool:
    """Waits for it; False at the end of the run."""
    while not self._closed.is_set():
      if self._service.key_value_dir_get(_ASKED):
        return True
      if self._noted.came:
        self._service.key_value_set(f"{_ASKED}/{self._index}", "yes", allow_overwrite=True)
      else:
        self._closed.wait(self._look_every)
    return False

  def _turn_of(self, index: int) -> int:
    """How far a process has come, once it has said so."""
    end = time.monotonic() + _PATIENCE
    while True:
      try:
        return int(self._service.blocking_key_value_get(f"{_TURNS}/{index}", _ASK_FOR))
      except Exception as error:  # no word yet; or no service, which never has one
        is_early = "DEADLINE_EXCEEDED" in str(error)
        if not is_early or self._closed.is_set() or time.monotonic() > end:
          raise

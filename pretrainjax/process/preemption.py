"""SIGTERM on any process of a run stops all of them after the same step.

JAX has a service for it, which a soak found to answer up to a minute late, or never. Here the one
that got the signal writes a notice into the coordination service's store; a thread of each process
polls for it, holds its loop before the next step, and writes how many steps that has begun. All
stop one step after the furthest. Threads do it, for the loop itself may be waiting for another
process's step.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pretrainjax.process.distributed import client, index, is_connected, number_of_processes

_NOTICE, _CALLS = "pretrainjax/stop/asked", "pretrainjax/stop/turn"
# Seconds: between polls of the store; for another process to write its number of steps.
_POLL_SECONDS, _TIMEOUT = 0.5, 60.0
# Milliseconds that one blocking read may take, as `close` waits for it.
_CALL_MILLISECONDS = 500


class SigtermHandler:
  """A handler of SIGTERM that notes the signal, in place of ending the process.

  Attributes:
    received: whether the signal has come.
    agreement: what agrees with the other processes on the last step; None where there are none.
  """

  def __init__(self):
    self.received = False
    self.agreement: StopAgreement | None = None

  def __call__(self, number: int, frame: Any) -> None:
    """Notes the signal."""
    self.received = True

  def close(self) -> None:
    """Ends the thread of the agreement, if there is one; see `StopAgreement.close`."""
    if self.agreement is not None:
      self.agreement.close()


def handle_sigterm() -> SigtermHandler:
  """Installs the handler, or returns the one that is installed already."""
  handler = signal.getsignal(signal.SIGTERM)
  if not isinstance(handler, SigtermHandler):
    handler = SigtermHandler()
    signal.signal(signal.SIGTERM, handler)
  if handler.agreement is None and is_connected():
    handler.agreement = StopAgreement(handler, client(), index=index(), count=number_of_processes())
  return handler


class Notice(NamedTuple):
  """What a run asks to know whether it is to stop.

  Attributes:
    is_last_step: whether to stop after this step; all processes call it once a step, in step.
    has_come: whether some process was asked to stop; any thread may call it at any time.
  """

  is_last_step: Callable[[], bool]
  has_come: Callable[[], bool]


@contextlib.contextmanager
def preemption_notice() -> Iterator[Notice]:
  """Notes SIGTERM while inside, in place of ending the process."""
  before = signal.getsignal(signal.SIGTERM)
  handler = handle_sigterm()
  if (agreement := handler.agreement) is not None:
    yield Notice(agreement.is_reached, agreement.has_come)
    return  # the handler stays: a later signal must not kill one of several
  try:
    yield Notice(lambda: handler.received, lambda: handler.received)
  finally:
    if not handler.received:  # or a second one would kill what is being closed
      signal.signal(signal.SIGTERM, before)


class StopAgreement:
  """Agrees with the other processes on the step to stop after."""

  def __init__(
    self,
    handler: SigtermHandler,
    service: Any,
    *,
    index: int,
    count: int,
    poll_seconds: float = _POLL_SECONDS,
  ):
    """Starts the thread, which lives until `close`, since other processes may wait for its answer.

    Args:
      handler: the SIGTERM handler of this process.
      service: the client of JAX's coordination service.
      index: the rank of this process.
      count: the number of processes.
      poll_seconds: the time between two polls of the store.
    """
    self._handler, self._service = handler, service
    self._index, self._count, self._poll_seconds = index, count, poll_seconds
    self._num_calls, self._last_call = 0, None
    self._noticed = threading.Event()
    self._lock, self._closed = threading.Lock(), threading.Event()
    self._thread = threading.Thread(target=self._agree, daemon=True, name="preemption")
    self._thread.start()

  def is_reached(self) -> bool:
    """Whether to stop now; counts the calls, which all processes make alike."""
    with self._lock:
      self._num_calls += 1
      return self._last_call is not None and self._num_calls >= self._last_call

  def has_come(self) -> bool:
    """Whether some process was asked to stop, as far as this one knows: soon, not in step."""
    return self._noticed.is_set()

  def close(self) -> None:
    """Ends the thread, once all processes are done and while the service is still there.

    A thread that is in a call to the service while Python ends aborts the process (measured: 13 of
    24 that polled without a pause).
    """
    self._closed.set()
    self._thread.join()

  def _agree(self) -> None:
    try:
      if not self._wait_for_notice():
        return
      self._noticed.set()
      with self._lock:
        self._service.key_value_set(f"{_CALLS}/{self._index}", str(self._num_calls))
        self._last_call = max(self._calls_of(i) for i in range(self._count)) + 1
    except Exception:  # the service is gone, and with it the run; others say so
      return

  def _wait_for_notice(self) -> bool:
    """Waits until a process was asked to stop; False at the end of the run."""
    while not self._closed.is_set():
      if self._service.key_value_dir_get(_NOTICE):
        return True
      if self._handler.received:
        self._service.key_value_set(f"{_NOTICE}/{self._index}", "yes", allow_overwrite=True)
      else:
        self._closed.wait(self._poll_seconds)
    return False

  def _calls_of(self, index: int) -> int:
    """The number of steps that a process has begun, once it has written it."""
    end = time.monotonic() + _TIMEOUT
    while True:
      try:
        return int(self._service.blocking_key_value_get(f"{_CALLS}/{index}", _CALL_MILLISECONDS))
      except Exception as error:  # not written yet; or the service is gone, and it never will be
        is_early = "DEADLINE_EXCEEDED" in str(error)
        if not is_early or self._closed.is_set() or time.monotonic() > end:
          raise

"""How a process ends at once, from any thread, whatever its others wait for."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pretrainjax.process import data_workers
from pretrainjax.process.watchdog import STUCK, write_stacks

GO_ON = "start the same command again to go on"
# Seconds: for what is put back at the end, and for a process that is done to end by itself.
_LAST_ACTS, _DONE = 1.0, 30.0


class Ending:
  """Ends this process without cleaning up, which could wait for ever, but for a few last acts."""

  def __init__(self, verb: str, *, leave: Callable[[int], Any] = os._exit):
    """Makes it.

    Args:
      verb: of the binary, for messages.
      leave: ends the process with a status.
    """
    self._verb, self._leave = verb, leave
    self._acts: list[Callable[[], Any]] = []
    self._tell: Callable[[str, int], Any] = self._alone

  def first(self, act: Callable[[], Any]) -> None:
    """Adds what is done before the process leaves; it is given a second, in a thread."""
    self._acts.append(act)

  def through(self, tell: Callable[[str, int], Any]) -> None:
    """From now on `tell` says to all processes why they end, and ends this one."""
    self._tell = tell

  def end(self, line: str, *, status: int) -> None:
    """Ends the run because of something that is no exception.

    Args:
      line: what happened, for the user.
      status: to end with.
    """
    self._tell(line, status)

  def leave(self, status: int) -> None:
    """Ends this process, and says nothing."""
    flush()
    acting = [threading.Thread(target=act, daemon=True) for act in self._acts]
    deadline = time.monotonic() + _LAST_ACTS
    for thread in acting:
      thread.start()
    for thread in acting:
      thread.join(max(deadline - time.monotonic(), 0.0))
    data_workers.kill()  # one that is stopped could not notice by itself
    self._leave(status)

  def _alone(self, line: str, status: int) -> None:
    if status == STUCK:
      write_stacks()
    sys.stderr.write(f"{self._verb}: {line}; {GO_ON}\n")
    self.leave(status)


def as_process(
  main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None
) -> NoReturn:
  """Runs a binary as this process, and ends it even where a thread or a worker would not let it.

  Args:
    main: of the binary; it returns the exit status.
    argv: its arguments; None takes the process's.
  """
  try:
    status = main(argv)
  except SystemExit as stop:
    status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
  except BaseException:
    traceback.print_exc()
    status = 1
  flush()
  if status:  # what was to be saved is saved; the rest is not waited for
    data_workers.kill()
    os._exit(status)
  threading.Thread(target=_leave_late, daemon=True, name="end").start()
  sys.exit(0)


def _leave_late() -> None:
  time.sleep(_DONE)
  write_stacks()
  sys.stderr.write(f"all is done, but the process did not end within {_DONE:.0f} s: see above\n")
  flush()
  os._exit(0)


def flush() -> None:
  """Hands on what was printed; whoever read it may be gone."""
  for stream in (sys.stdout, sys.stderr):
    try:
      stream.flush()
    except (OSError, ValueError):
      pass

"""Ends a process at once, from any thread, even while other threads or processes hang."""

import io
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from pretrainjax.process import backend, data_workers
from pretrainjax.process.watchdog import STUCK, write_stacks

USER_ERROR, INTERRUPTED = 2, 130
GO_ON = "start the same command again to go on"
# Seconds: for what is put back at the end, and for a process that is done to end by itself.
_LAST_ACTS, _DONE = 1.0, 30.0


class Ending:
  """Ends this process without cleaning up, which could wait for ever, but for a few last acts."""

  def __init__(self, verb: str, *, exit_process: Callable[[int], Any] = os._exit):
    """Makes an ending of this process alone, until `end_all_by` is called.

    Args:
      verb: the name of the binary, for messages.
      exit_process: the function that ends the process with an exit status.
    """
    self._verb, self._exit_process = verb, exit_process
    self._last_acts: list[Callable[[], Any]] = []
    self._end_all: Callable[[str, int], Any] = self._end_alone

  def before_exit(self, act: Callable[[], Any]) -> None:
    """Adds a function that is called before the process exits, for at most a second."""
    self._last_acts.append(act)

  def end_all_by(self, end_all: Callable[[str, int], Any]) -> None:
    """Sets the function that tells all processes why they end, and ends this one."""
    self._end_all = end_all

  def end(self, line: str, *, status: int) -> None:
    """Ends the run because of something that is no exception.

    Args:
      line: what happened, in one line for the user.
      status: the exit status of the process.
    """
    self._end_all(line, status)

  def exit(self, status: int) -> None:
    """Ends this process without a message, after the functions of `before_exit`."""
    flush()
    threads = [threading.Thread(target=act, daemon=True) for act in self._last_acts]
    deadline = time.monotonic() + _LAST_ACTS
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join(max(deadline - time.monotonic(), 0.0))
    data_workers.kill()  # one that is stopped could not notice by itself
    self._exit_process(status)

  def _end_alone(self, line: str, status: int) -> None:
    if status == STUCK:
      write_stacks()
    sys.stderr.write(f"{self._verb}: {line}; {GO_ON}\n")
    self.exit(status)


def as_process(
  main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None
) -> NoReturn:
  """Runs a binary as this process, and ends it even where a thread or a worker would not let it.

  Args:
    main: the main function of the binary, which returns the exit status.
    argv: its arguments; None takes those of the process.
  """
  _open_closed()
  lasting = Lasting(sys.stdout)
  sys.stdout, sys.stderr = lasting, Lasting(sys.stderr)
  try:
    status = main(argv)
  except KeyboardInterrupt:  # while modules were still imported
    sys.stderr.write("interrupted\n")
    status = INTERRUPTED
  except ValueError as error:
    status = _status_of(error)
  except SystemExit as stop:
    status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
  except BaseException:
    traceback.print_exc()
    status = 1
  flush()
  if lasting.reason is not None and not status:
    sys.stderr.write(f"error: standard output: cannot be written ({lasting.reason}); all is done\n")
    status = USER_ERROR
  if status:  # what was to be saved is saved; the rest is not waited for
    data_workers.kill()
    os._exit(status)
  threading.Thread(target=_exit_late, daemon=True, name="end").start()
  sys.exit(0)


def _status_of(error: ValueError) -> int:
  """Says why a binary failed; in one line where JAX refused a variable of the environment."""
  mistake = backend.mistake_in_environment(error, os.environ)
  if mistake is None:
    traceback.print_exception(error)
    return 1
  sys.stderr.write(f"error: {mistake}\n")
  return USER_ERROR


def _exit_late() -> None:
  time.sleep(_DONE)
  write_stacks()
  sys.stderr.write(f"all is done, but the process did not end within {_DONE:.0f} s: see above\n")
  flush()
  os._exit(0)


class Lasting(io.TextIOBase):
  """A stream that goes on where nobody reads it any more, or where its disk is full.

  What it has to say is lost then, what the process does is not.

  Attributes:
    reason: why writing failed; None where it did not, or where the reader left.
  """

  def __init__(self, stream: TextIO):
    """Writes to `stream`, as long as that takes it."""
    self._stream, self._is_lost, self.reason = stream, False, None

  def write(self, text: str) -> int:
    self._try(lambda: self._stream.write(text))
    return len(text)

  def flush(self) -> None:
    self._try(self._stream.flush)

  def fileno(self) -> int:
    return self._stream.fileno()

  def isatty(self) -> bool:
    return self._stream.isatty()

  @property
  def encoding(self) -> str:
    return self._stream.encoding

  @property
  def buffer(self) -> Any:
    return self._stream.buffer

  def reconfigure(self, **options: Any) -> None:
    self._stream.reconfigure(**options)

  def _try(self, act: Callable[[], Any]) -> None:
    if self._is_lost:
      return
    try:
      act()
    except OSError as error:
      self._is_lost = True
      if not isinstance(error, BrokenPipeError):
        self.reason = error.strerror
      # What is still in the buffer would fail again, and with a traceback, at the very end.
      os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _open_closed() -> None:
  """Opens /dev/null in place of streams that were closed (`>&-`), whose numbers files would get."""
  for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def flush() -> None:
  """Flushes standard output and error, whose reader may have closed them."""
  for stream in (sys.stdout, sys.stderr):
    try:
      stream.flush()
    except (OSError, ValueError):
      pass

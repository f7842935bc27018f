"""Long work that can be given up at any time, even in the middle of compiled code."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Seconds between two looks at whether to give up.
_POLL_SECONDS = 0.1


class Interrupted(Exception):
  """The work was given up."""


def run_unless(stop: Callable[[], bool], work: Callable[[], T]) -> T:
  """Runs `work` in a thread, and gives it up as soon as `stop` says so.

  A signal's handler must wait for compiled code to return; a thread can be left behind. What it
  still does then is for nobody: the caller is about to end the process.

  Args:
    stop: whether to give up; asked about ten times a second.
    work: what to do, which exchanges nothing with other processes.

  Returns:
    The result of `work`; what it raises is raised here.

  Raises:
    Interrupted: where `stop` came first.
  """
  done, results, errors = threading.Event(), [], []

  def do() -> None:
    try:
      results.append(work())
    except BaseException as error:
      errors.append(error)
    finally:
      done.set()

  threading.Thread(target=do, daemon=True, name="interruptible").start()
  while not done.wait(_POLL_SECONDS):
    if stop():
      raise Interrupted
  if errors:
    raise errors[0]
  return results[0]

"""Worker processes of grain: each one ends when the trainer that started it has ended.

A trainer that is killed cannot end its workers, and grain's would wait for ever for a reader of
their batches. Linux' PR_SET_PDEATHSIG does not help: it acts when the *thread* that started the
process ends, and grain starts workers in a thread that ends before they are told to stop.
"""

import dataclasses
import faulthandler
import multiprocessing
import os
import select
import signal
import threading
import time

# The name that grain gives to its worker processes.
_NAME = "grain-process-prefetch"
# Seconds between checks of the parent's id, where the kernel does not tell of its end.
_POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class EndWithTrainer:
  """A function for grain to call in each worker: from then on that one ends with the trainer.

  SIGUSR1 makes the worker write the stacks of its threads.

  Attributes:
    trainer: the process id of the trainer, which started the worker.
  """

  trainer: int

  def __call__(self, index: int, count: int) -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    name = f"end of worker {index} of {count}"
    threading.Thread(target=self._watch, daemon=True, name=name).start()

  def _watch(self) -> None:
    _wait_for_end(self.trainer)
    while os.getppid() == self.trainer:  # the kernel's answer alone is not enough
      time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)  # whatever it does: nobody will read its batches


def _wait_for_end(process: int) -> None:
  """Waits until a process has ended; returns at once where the kernel cannot tell."""
  try:
    handle = os.pidfd_open(process)
  except (AttributeError, OSError):  # no Linux, an old one, or it has ended already
    return
  watched = select.poll()
  watched.register(handle, select.POLLIN)
  watched.poll()


def live_workers() -> list[multiprocessing.process.BaseProcess]:
  """The worker processes of this process that are alive."""
  return [p for p in multiprocessing.active_children() if p.name.startswith(_NAME)]


def kill() -> int:
  """Kills the workers of this process, which may hang; returns how many there were."""
  found = live_workers()
  for worker in found:
    worker.kill()
  return len(found)


def write_stacks(*, seconds: float = 0.5) -> None:
  """Makes the workers of this process write the stacks of their threads to standard error.

  Args:
    seconds: the time that they are given to write.
  """
  found = live_workers()
  for worker in found:
    if worker.pid is not None:
      os.kill(worker.pid, signal.SIGUSR1)
  if found:
    time.sleep(seconds)

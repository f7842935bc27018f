"""What a worker process of grain does first: it ties itself to the trainer's life.

Whoever is killed cannot end its children, and grain's would wait for ever for somebody to read what
they made. Linux' PR_SET_PDEATHSIG is not for them: it strikes when the *thread* that started the
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

# How grain's processes are called.
_NAME = "grain-process-prefetch"
# Seconds between looks at who the parent is, where the kernel does not tell.
_LOOK = 0.5


@dataclasses.dataclass(frozen=True)
class Tie:
  """To be called in a worker, with its number of how many: it then dies with the trainer.

  SIGUSR1 makes it write the stacks of its threads.

  Attributes:
    trainer: the process that started it.
  """

  trainer: int

  def __call__(self, index: int, count: int) -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    name = f"tie of worker {index} of {count}"
    threading.Thread(target=self._watch, daemon=True, name=name).start()

  def _watch(self) -> None:
    _wait_for_end(self.trainer)
    while os.getppid() == self.trainer:  # not the kernel's word alone
      time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGKILL)  # whatever it does: nobody wants it any more


def _wait_for_end(process: int) -> None:
  """Returns when a process has ended; at once where the kernel cannot say."""
  try:
    handle = os.pidfd_open(process)
  except (AttributeError, OSError):  # no Linux, an old one, or it has ended already
    return
  watched = select.poll()
  watched.register(handle, select.POLLIN)
  watched.poll()


def living() -> list[multiprocessing.process.BaseProcess]:
  """This process's workers."""
  return [p for p in multiprocessing.active_children() if p.name.startswith(_NAME)]


def kill() -> int:
  """Ends this process's workers, who may hang; how many there were."""
  found = living()
  for worker in found:
    worker.kill()
  return len(found)


def write_stacks(*, seconds: float = 0.5) -> None:
  """Makes this process's workers write what they do.

  Args:
    seconds: for them to write.
  """
  found = living()
  for worker in found:
    if worker.pid is not None:
      os.kill(worker.pid, signal.SIGUSR1)
  if found:
    time.sleep(seconds)

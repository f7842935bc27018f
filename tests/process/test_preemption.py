"""Asked on one process, all stop after the same step, however far apart they are."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import simulated

from pretrainjax.process.preemption import (
  SigtermHandler,
  StopAgreement,
  handle_sigterm,
  preemption_notice,
)


class Store:
  """The coordination service's store."""

  def __init__(self):
    self._values, self._changed = {}, threading.Condition()

  def key_value_set(self, key, value, allow_overwrite=False):
    with self._changed:
      assert allow_overwrite or key not in self._values
      self._values[key] = value
      self._changed.notify_all()

  def key_value_dir_get(self, prefix):
    with self._changed:
      return [(k, v) for k, v in self._values.items() if k.startswith(f"{prefix}/")]

  def blocking_key_value_get(self, key, milliseconds):
    with self._changed:
      if not self._changed.wait_for(lambda: key in self._values, milliseconds / 1000):
        raise TimeoutError(f"DEADLINE_EXCEEDED: {key}")
      return self._values[key]


def steps_of(agreement: StopAgreement, barrier: threading.Barrier, *, lag: float) -> int:
  """The step that a loop stops after, which waits for the others' steps as collectives do."""
  for step in range(1, 2000):
    time.sleep(lag)
    if agreement.is_reached():
      barrier.abort()
      return step
    try:
      barrier.wait(timeout=20)
    except threading.BrokenBarrierError:  # another one stops at this very step, or all is lost
      assert not barrier.n_waiting
  raise AssertionError("never stopped")


@pytest.mark.parametrize("asked", [0, 2])
def test_all_stop_after_the_same_step(asked):
  store, count = Store(), 3
  handlers = [SigtermHandler() for _ in range(count)]
  barrier = threading.Barrier(count)
  found = [0] * count

  def run(i):
    agreement = StopAgreement(handlers[i], store, index=i, count=count, poll_seconds=0.01 * (i + 1))
    found[i] = steps_of(agreement, barrier, lag=0.001 * (i + 1))

  threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
  for thread in threads:
    thread.start()
  time.sleep(0.1)
  assert not any(found), "nobody stops unasked"
  handlers[asked](signal.SIGTERM, None)
  for thread in threads:
    thread.join(timeout=30)
  assert found[0] > 1 and len(set(found)) == 1, found


def test_one_process_notes_it_and_gives_the_signal_back():
  before = signal.getsignal(signal.SIGTERM)
  with preemption_notice() as notice:
    assert not notice.is_last_step() and not notice.has_come()
  assert signal.getsignal(signal.SIGTERM) is before
  try:
    with preemption_notice() as notice:
      os.kill(os.getpid(), signal.SIGTERM)
      assert notice.has_come() and notice.is_last_step() and notice.is_last_step()
    assert handle_sigterm().received, "asked twice, it must not die of the second"
  finally:
    signal.signal(signal.SIGTERM, before)


def test_a_service_that_is_gone_holds_nobody():
  class Gone(Store):
    def blocking_key_value_get(self, key, milliseconds):
      raise RuntimeError("UNAVAILABLE")

  handler = SigtermHandler()
  agreement = StopAgreement(handler, Gone(), index=0, count=2, poll_seconds=0.01)
  handler(signal.SIGTERM, None)
  time.sleep(0.1)
  assert not agreement.is_reached(), "the loop goes on, until the run is told to end"
  agreement.close()


def test_all_hear_of_it_while_they_are_busy_in_a_step():
  """Without another call of `is_reached`, as in a long evaluation."""
  store, handlers = Store(), [SigtermHandler() for _ in range(2)]
  both = [
    StopAgreement(handler, store, index=i, count=2, poll_seconds=0.01)
    for i, handler in enumerate(handlers)
  ]
  assert not any(agreement.is_reached() or agreement.has_come() for agreement in both)
  handlers[1](signal.SIGTERM, None)
  end = time.monotonic() + 10
  while not all(agreement.has_come() for agreement in both):
    assert time.monotonic() < end
    time.sleep(0.01)
  for agreement in both:
    agreement.close()


@pytest.mark.parametrize("asked", [False, True])
def test_no_thread_is_left_at_the_end(asked):
  """Also where one process is asked while the others have closed already."""
  before, handler = threading.active_count(), SigtermHandler()
  agreement = StopAgreement(handler, Store(), index=0, count=2, poll_seconds=0.01)
  assert threading.active_count() == before + 1
  if asked:
    handler(signal.SIGTERM, None)
    time.sleep(0.1)
  start = time.monotonic()
  agreement.close()
  assert threading.active_count() == before
  assert time.monotonic() - start < 2


# Looks into the store without a pause, until the process ends.
BUSY = """
import sys, jax
address, number = sys.argv[1], int(sys.argv[2])
jax.distributed.initialize(address, 2, number)
from pretrainjax.process.distributed import barrier, client, disconnect
from pretrainjax.process.preemption import SigtermHandler, StopAgreement
handler = SigtermHandler()
agreement = StopAgreement(handler, client(), index=number, count=2, poll_seconds=0.0)
barrier("the end")
agreement.close()
disconnect()
"""


@pytest.mark.slow
def test_the_thread_aborts_no_process_that_ends():
  """Without `close`, half of these end with SIGABRT."""
  for _ in range(5):
    with socket.socket() as probe:
      probe.bind(("localhost", 0))
      address = f"localhost:{probe.getsockname()[1]}"
    running = [
      subprocess.Popen([sys.executable, "-c", BUSY, address, str(i)], env=simulated.environment(1))
      for i in range(2)
    ]
    assert [process.wait(timeout=60) for process in running] == [0, 0]

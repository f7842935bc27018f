"""A thread makes items ahead, its errors are the reader's, and it ends when it is told to."""

import contextlib
import itertools
import multiprocessing
import threading
import time

import pytest

from pretrainjax.data import prefetch
from pretrainjax.data.prefetch import Prefetched
from pretrainjax.process import data_workers


def wait_until(condition, seconds: float = 5.0) -> bool:
  """Whether `condition` came true in time."""
  end = time.monotonic() + seconds
  while not condition() and time.monotonic() < end:
    time.sleep(0.005)
  return condition()


def test_items_come_in_order_and_end():
  items = Prefetched(iter(range(20)), ahead=3)
  assert list(items) == list(range(20))
  items.close()


def test_it_stays_so_many_ahead_and_no_more():
  made = []
  items = Prefetched((made.append(i) or i for i in itertools.count()), ahead=2)
  assert wait_until(lambda: len(made) == 3)  # two wait, one is in the thread's hand
  time.sleep(0.05)
  assert len(made) == 3
  assert next(items) == 0
  assert wait_until(lambda: len(made) == 4)
  items.close()


def test_an_error_reaches_the_reader_after_what_came_before():
  def source():
    yield 1
    raise RuntimeError("disk on fire")

  items = Prefetched(source())
  assert next(items) == 1
  with pytest.raises(RuntimeError, match="disk on fire"):
    next(items)
  items.close()


def test_close_ends_the_thread_also_on_a_full_queue_and_twice():
  items = Prefetched(itertools.count(), ahead=2)
  next(items)
  items.close()
  items.close()
  assert not items._thread.is_alive()


def test_no_thread_outlives_its_reader():
  before = threading.active_count()
  for _ in range(5):
    Prefetched(itertools.count()).close()
  assert threading.active_count() <= before


def test_waiting_is_counted():
  release = threading.Event()

  def source():
    release.wait()
    yield from range(3)

  items = Prefetched(source())
  threading.Timer(0.1, release.set).start()
  next(items)
  assert 0.05 < items.wait_seconds < 5
  # What is made ahead costs the reader (almost) nothing.
  assert wait_until(lambda: items._queue.full())
  waited = items.wait_seconds
  next(items)
  assert items.wait_seconds - waited < 0.05
  items.close()


@pytest.mark.parametrize("end", ["exhausted", "failed", "closed"])
def test_the_end_stays_the_end(end):
  """A reader that asks once more gets the same answer, and does not hang."""

  def source():
    yield 1
    if end == "failed":
      raise RuntimeError("disk on fire")

  items, answers = Prefetched(source()), []
  kind = RuntimeError if end == "failed" else StopIteration
  assert next(items) == 1
  if end == "closed":
    items.close()

  def ask():
    for _ in range(2):
      try:
        next(items)
      except kind as error:
        answers.append(error)

  asking = threading.Thread(target=ask, daemon=True)
  asking.start()
  asking.join(timeout=2)
  assert len(answers) == 2


def test_closing_closes_the_source_too():
  """Worker processes of grain would outlive the reader."""

  class Source:
    closed = False

    def __iter__(self):
      return self

    def __next__(self):
      return 0

    def close(self):
      self.closed = True

  source = Source()
  items = Prefetched(source)
  assert next(items) == 0
  items.close()
  assert source.closed


def hanging():
  """A source that hangs at its second item."""
  yield 1
  threading.Event().wait()


def test_closing_does_not_wait_for_a_source_that_hangs(monkeypatch, caplog):
  monkeypatch.setattr(prefetch, "_PATIENCE", 0.2)
  items = Prefetched(hanging())
  assert next(items) == 1
  start = time.monotonic()
  items.close()
  assert 0.3 < time.monotonic() - start < 5
  assert "did not end within 0 s; it is left behind" in caplog.text


def test_after_a_failure_it_waits_less(monkeypatch):
  monkeypatch.setattr(prefetch, "_FAILED_PATIENCE", 0.1)
  start = time.monotonic()
  with pytest.raises(RuntimeError, match="elsewhere"), contextlib.closing(Prefetched(hanging())):
    raise RuntimeError("elsewhere")
  assert time.monotonic() - start < 5


def test_workers_that_hang_are_killed(monkeypatch):
  """A source that waits for a worker which does nothing, as grain's does."""
  monkeypatch.setattr(prefetch, "_PATIENCE", 0.5)
  context = multiprocessing.get_context("spawn")
  worker = context.Process(
    target=time.sleep, args=(600,), daemon=True, name=f"{data_workers._NAME}-1"
  )
  worker.start()

  def source():
    worker.join()
    yield from ()

  items = Prefetched(source())
  items.close()
  assert not worker.is_alive() and not items._thread.is_alive()

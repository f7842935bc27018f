"""Batches made ahead in a thread, with the time that the trainer waited for them."""

import logging
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from pretrainjax.process import data_workers

# Seconds for a source to end by itself, and then again without its workers: usually, as a batch may
# take long to make, and after a failure, when other processes wait for this one to end.
_PATIENCE, _FAILED_PATIENCE = 10.0, 1.5
_log = logging.getLogger(__name__)


class Prefetched:
  """An iterator that stays a few items ahead of its reader.

  Attributes:
    wait_seconds: how long `next` has blocked, all in all.
  """

  def __init__(self, source: Iterator[Any], *, ahead: int = 2):
    self.wait_seconds = 0.0
    self._source, self._queue = source, queue.Queue(maxsize=ahead)
    self._closed = threading.Event()
    self._end: BaseException | None = None
    self._thread = threading.Thread(target=self._fill, daemon=True, name="prefetch")
    self._thread.start()

  def __iter__(self) -> "Prefetched":
    return self

  def __next__(self) -> Any:
    if self._end is not None:  # nothing comes any more: asking again must not wait for it
      raise self._end
    start = time.perf_counter()
    item = self._queue.get()
    self.wait_seconds += time.perf_counter() - start
    if isinstance(item, BaseException):
      self._end = item
      raise item
    return item

  def close(self) -> None:
    """Stops the thread and closes the source; safe to call twice.

    A source that hangs must not hang the end of a run, which perhaps ends because of it: it is left
    alone after some seconds.
    """
    patience = _PATIENCE if sys.exception() is None else _FAILED_PATIENCE
    self._closed.set()
    self._end = self._end or StopIteration()
    if not self._drained(patience):
      data_workers.kill()  # grain would wait for what they make
      if not self._drained(patience):
        _log.warning(
          "data: the thread that makes batches did not end within %.0f s; it is left behind",
          2 * patience,
        )
        return
    if hasattr(self._source, "close"):  # grain's has threads or processes of its own
      closing = threading.Thread(target=self._source.close, daemon=True, name="close data")
      closing.start()
      closing.join(patience)
      if closing.is_alive() and data_workers.kill():
        closing.join(patience)

  def _drained(self, seconds: float) -> bool:
    """Lets the thread end; whether it did so in time."""
    end = time.monotonic() + seconds
    while self._thread.is_alive() and time.monotonic() < end:
      try:
        self._queue.get(timeout=0.05)  # it may be blocked on a full queue
      except queue.Empty:
        pass
      self._thread.join(timeout=0.05)
    return not self._thread.is_alive()

  def _fill(self) -> None:
    try:
      for item in self._source:
        self._queue.put(item)
        if self._closed.is_set():
          return
    except BaseException as error:  # it is the reader's, which is the main thread
      self._queue.put(error)
      return
    self._queue.put(StopIteration())

"""Batches made ahead in a thread, with the time that the trainer waited for them."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any


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
    """Stops the thread and closes the source; safe to call twice."""
    self._closed.set()
    self._end = self._end or StopIteration()
    while self._thread.is_alive():
      try:
        self._queue.get(timeout=0.05)  # it may be blocked on a full queue
      except queue.Empty:
        pass
      self._thread.join(timeout=0.05)
    if hasattr(self._source, "close"):  # grain's has threads or processes of its own
      self._source.close()

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

"""A bound on what all threads of a process hold at once."""

import contextlib
import threading
from collections.abc import Iterator


class MemoryBudget:
  """Bytes that threads take and give back; who finds too little waits, first come first served.

  Attributes:
    size: bytes in all. Who asks for more than that gets it when nobody else holds any.
  """

  def __init__(self, size: int):
    self.size = size
    self._held = 0
    self._changed = threading.Condition()
    self._turn = threading.Lock()  # small ones must not overtake a large one for ever

  @contextlib.contextmanager
  def held(self, amount: int) -> Iterator[None]:
    """Holds so many bytes."""
    amount = min(amount, self.size)
    with self._turn, self._changed:
      self._changed.wait_for(lambda: self._held + amount <= self.size)
      self._held += amount
    try:
      yield
    finally:
      with self._changed:
        self._held -= amount
        self._changed.notify_all()

"""A profiler trace of a few steps."""

import jax

_STEPS = 10


class Trace:
  """Writes a profiler trace of ten steps, or of those that are left, once the first are warm."""

  def __init__(self, folder: str | None, *, first: int):
    """Makes it, without starting the trace.

    Args:
      folder: the folder for the trace; None writes none.
      first: the first step that is traced.
    """
    self._folder, self._first = folder, first
    self._running = False

  def before(self, step: int) -> None:
    """Starts or ends the trace where `step` is the one to do so."""
    if self._folder is not None and step == self._first:
      jax.profiler.start_trace(self._folder)
      self._running = True
    if step == self._first + _STEPS:
      self.close()

  def close(self) -> None:
    """Writes the trace; a run may end before its ten steps."""
    if self._running:
      self._running = False
      jax.profiler.stop_trace()

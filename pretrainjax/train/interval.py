"""The mean of each metric over the steps since the last row of metrics.

A checkpoint in the middle of an interval holds what has been added up, so that a run that goes on
from it writes the same row, to the last bit, as one that never stopped.
"""

from collections.abc import Mapping
from typing import Any

# What a step says of itself: of an interval, that of its last step.
_OF_ONE_STEP = ("learning_rate", "bad_steps", "bad_in_row")


class Interval:
  """Adds up metrics, in float64 and in the order of the steps; skipped steps are left out."""

  def __init__(self):
    self.start()

  def start(self, plain: Mapping[str, Any] | None = None) -> None:
    """Starts anew.

    Args:
      plain: what `plain` returned, to go on with; empty or None for a new interval.
    """
    plain = plain or {}
    self._steps = int(plain.get("steps", 0))
    self._sums = {str(name): float(value) for name, value in plain.get("sums", {}).items()}

  def add(self, values: Mapping[str, float], *, is_skipped: bool) -> None:
    """Adds the metrics of a step.

    Args:
      values: the metrics by name.
      is_skipped: whether its loss or gradient was not finite, so that it changed nothing.
    """
    if is_skipped:
      return
    self._steps += 1
    for name, value in values.items():
      self._sums[name] = self._sums.get(name, 0.0) + value

  def mean(self, last: Mapping[str, float]) -> dict[str, float]:
    """The metrics of the interval.

    Args:
      last: the metrics of its last step, which stand for themselves where all were skipped.
    """
    if not self._steps:
      return dict(last)
    return {
      name: value if name in _OF_ONE_STEP else self._sums[name] / self._steps
      for name, value in last.items()
    }

  def plain(self) -> dict[str, Any]:
    """What has been added up, as JSON can hold it; {} at the start of an interval."""
    return {"steps": self._steps, "sums": dict(self._sums)} if self._steps else {}

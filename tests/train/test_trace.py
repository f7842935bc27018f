"""When a trace of the profiler begins and ends."""

import jax
import pytest

from pretrainjax.train.trace import Trace


@pytest.mark.parametrize(
  ("folder", "steps", "told"),
  [("f", 20, ["start at 3", "stop at 13"]), ("f", 5, ["start at 3", "stop at the end"])]
  + [("f", 2, []), (None, 20, [])],
)
def test_ten_steps_or_those_that_are_left(folder, steps, told, monkeypatch):
  found, now = [], ""
  monkeypatch.setattr(jax.profiler, "start_trace", lambda _: found.append(f"start {now}"))
  monkeypatch.setattr(jax.profiler, "stop_trace", lambda: found.append(f"stop {now}"))
  trace = Trace(folder, first=3)
  for step in range(1, steps + 1):
    now = f"at {step}"
    trace.before(step)
  now = "at the end"
  trace.close()
  assert found == told

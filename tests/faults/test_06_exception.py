"""An exception on one process of two, and on one whose threads would keep it.

All end within 5 s, with one traceback: the culprit's.
"""

import groups
import pytest


def traces(ended: list[groups.Ended]) -> list[int]:
  """Tracebacks of each process."""
  return [sum("Traceback" in line for line in e.errors) for e in ended]


@pytest.mark.repeat
def test_one_process_ends_though_a_thread_does_not(tmp_path, data, trial):
  group = groups.Group(tmp_path / "run", data, groups.ONE)
  group.start(faults={0: "raise_beside_a_thread:step:3"})
  (ended,) = group.finish(timeout=60)
  assert ended.status == 1 and traces([ended]) == [1]
  assert ended.errors[-1] == "RuntimeError: the culprit"
  assert ended.at - ended.struck_at() < 5
  assert not (group.workdir / ".lock").exists()
  trial(seconds=ended.at - ended.struck_at())


@pytest.mark.slow
@pytest.mark.parametrize(("culprit", "layout"), [(1, groups.TWO), (0, groups.TWO_PMAP)], ids=str)
def test_both_end(culprit, layout, tmp_path, data, trial):
  where = "step" if culprit else "data"
  group = groups.Group(tmp_path / "run", data, layout)
  group.start(faults={culprit: f"raise_beside_a_thread:{where}:8"})
  ended = group.finish(timeout=60)
  guilty, other = ended[culprit], ended[1 - culprit]
  assert (guilty.status, other.status) == (1, 43), ended
  assert traces([guilty, other]) == [1, 0]
  assert "RuntimeError: the culprit" in guilty.errors
  assert f"process lost: process {culprit} (" in other.errors[-1]
  assert "failed: RuntimeError: the culprit; start the same command again" in other.errors[-1]
  seconds = max(e.at for e in ended) - guilty.struck_at()
  assert seconds < 5
  trial(seconds=seconds)

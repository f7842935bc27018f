"""The clock jumps back and forth by years, and files come from the future.

Steps go by number and intervals by the monotonic clock: the end is the same bit for bit.
"""

import os

import groups
import pytest
from trials import EVERY, assert_same

FUTURE, PAST = 4e9, 1e8


@pytest.mark.slow
def test_files_from_the_future(tmp_path, data, calm, trial):
  """Of two checkpoints, the newer one is the one with the higher number."""
  group = groups.Group(tmp_path / "run", data, groups.ONE)
  group.start()
  try:
    group.wait_for_rows(3 * EVERY)
    group.running[0].kill()
  finally:
    group.kill()
  (ended,) = group.finish()
  folders = sorted((group.workdir / "checkpoints").iterdir(), key=lambda path: path.name)
  saved = [int(path.name) for path in folders if path.name.isdecimal()]
  for path in group.workdir.rglob("*"):
    is_older = str(min(saved)) in path.parts
    os.utime(path, (FUTURE, FUTURE) if is_older else (PAST, PAST))
  (ended,) = group.to_the_end()
  assert f"going on from step {max(saved)} " in ended.out
  trial(lost_steps=0)
  assert_same(calm(groups.ONE), group.workdir)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [groups.ONE, groups.TWO, groups.ONE_PMAP], ids=str)
def test_the_clock_jumps_in_the_middle(layout, tmp_path, data, calm, trial):
  """Back by ten years at step 10, forth by twenty at step 20, under a watchdog that is awake."""
  group = groups.Group(tmp_path / "run", data, layout, "--stuck_after=20")
  group.start(faults={process: "jump:step:10" for process in range(layout.processes)})
  ended = group.finish()
  assert [e.status for e in ended] == [0] * layout.processes, ended
  assert sum(line.startswith(groups.MARK) for e in ended for line in e.errors) == 2 * len(ended)
  trial(lost_steps=0)
  trial(lost_steps=0)
  assert_same(calm(layout), group.workdir)

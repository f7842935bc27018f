"""SIGTERM on one process, and on one of two.

All save the same step and end with 42; started again, the end is the same bit for bit.
"""

import time

import groups
import pytest
from trials import STEPS, assert_same

LAYOUTS = [groups.ONE, groups.ONE_PMAP, groups.TWO]


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_asked_to_stop(layout, tmp_path, data, calm, trial):
  group = groups.Group(tmp_path / "run", data, layout)
  group.start()
  try:
    group.wait_for_rows(7)
    group.running[-1].terminate()
    struck = time.monotonic()
    ended = group.finish()
  finally:
    group.kill()
  assert [e.status for e in ended] == [42] * layout.processes, ended
  line = ended[0].errors[-1]
  assert "asked to stop; saved step" in line and "start the same command again to go on" in line
  saved = int(line.partition("saved step ")[2].split()[0])
  assert 7 <= saved < STEPS and group.lost_steps() == 0
  trial(lost_steps=0, seconds=group.recover(reached=saved, struck=struck))
  assert_same(calm(layout), group.workdir)

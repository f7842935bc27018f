"""SIGTERM, kill -9 and an exception in the middle of an evaluation, one process and two processes.

The step is saved before it is evaluated. Started again, the run evaluates it, and ends as one that
nothing happened to.
"""

import signal
import time

import groups
import pytest
from trials import assert_same

# The second evaluation, of step 20; before it there are as many rows, and one of the first.
STEP, ROWS = 20, 21
STATUS = {"asked to stop": {42}, "killed": {-signal.SIGKILL}, "an exception": {1, 43}}


@pytest.mark.slow
@pytest.mark.parametrize("layout", [groups.ONE, groups.TWO], ids=str)
@pytest.mark.parametrize("how", STATUS)
def test_nothing_is_lost(how, layout, tmp_path, data, calm, trial):
  group = groups.Group(tmp_path / "run", data, layout)
  what = "raise" if how == "an exception" else "hang"
  group.start(faults={0: f"{what}:evaluator:2"})
  try:
    if what == "hang":
      group.wait_for_rows(ROWS)
      while not (group.workdir / "checkpoints" / str(STEP)).is_dir():  # then it is evaluated
        time.sleep(0.1)
      time.sleep(2)
    struck = time.monotonic()
    if how == "asked to stop":
      group.running[-1].terminate()  # of two the one that waits for the other's evaluation
    if how == "killed":
      group.kill()
    ended = group.finish()
  finally:
    group.kill()
  assert {e.status for e in ended} <= STATUS[how], groups.told(ended)
  if how == "asked to stop":
    assert ended[0].at - struck < 10, "of a grace of 30"
    assert f"asked to stop; saved step {STEP}" in ended[0].errors[-1]
  assert group.reached() == STEP and group.lost_steps() == 0
  trial(lost_steps=0, seconds=group.recover(reached=STEP, struck=struck))
  assert_same(calm(layout), group.workdir)

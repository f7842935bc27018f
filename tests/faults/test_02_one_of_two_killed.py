"""kill -9 of a process of two, and of the first one.

The other ends within seconds, launch/local.py starts both again, and they end the same bit for bit.
"""

import re
import time

import groups
import pytest
from trials import assert_same


@pytest.mark.slow
@pytest.mark.parametrize("layout", [groups.TWO, groups.TWO_PMAP], ids=str)
def test_one_of_two_is_killed_and_then_the_other(layout, tmp_path, data, calm, trial):
  undisturbed, group = calm(layout), groups.Group(tmp_path / "run", data, layout)
  launcher = groups.supervised(group, "--max_restarts=5")
  try:
    for victim, rows in ((1, 7), (0, 17)):
      while not group.is_at(rows):
        assert launcher.poll() is None, launcher.communicate()
        time.sleep(0.005)
      found = groups.children(launcher.pid, having="--process_id=")
      (pid,) = (p for p in found if f"--process_id={victim}" in groups.command(p))
      groups.kill(pid)
      struck, reached, lost = time.monotonic(), group.reached(), group.lost_steps()
      assert groups.wait_until_gone(found, seconds=5) < 5
      while not group.is_at(reached + 1) and launcher.poll() is None:
        time.sleep(0.005)
      trial(lost_steps=lost, seconds=time.monotonic() - struck)
    output, _ = launcher.communicate(timeout=120)
  finally:
    launcher.kill()
  assert launcher.returncode == 0, output
  assert len(re.findall("process lost: process [01] ", output)) == 2, output
  assert output.count("ended with 137; restart") == 2
  assert_same(undisturbed, group.workdir)

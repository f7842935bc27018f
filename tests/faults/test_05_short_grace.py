"""SIGTERM, and kill -9 before the save is done, one process and two processes.

The checkpoint before is intact, and the run ends as one that nothing happened to.
"""

import random
import signal
import time

import pytest
from groups import ONE, TWO, Group
from trials import EVERY, assert_same


def cut_short(group: Group, *, rows: int, grace: float) -> None:
  """Asks a run to stop once it has so many rows, and does not leave it the time."""
  running = group.start()
  group.wait_for_rows(rows)
  for process in running:
    process.send_signal(signal.SIGTERM)
  time.sleep(grace)
  for process in running:
    process.kill()
  group.finish()


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "times"), [(ONE, 2), (TWO, 1)], ids=str)
def test_the_run_goes_on_from_what_is_there(layout, times, tmp_path, data, calm, trial):
  group, chance = Group(tmp_path / "run", data, layout), random.Random(0)
  for number in range(times):
    cut_short(group, rows=EVERY + 2 + 10 * number, grace=chance.uniform(0.0, 0.05))
    struck, reached, lost = time.monotonic(), group.reached(), max(group.lost_steps(), 0)
    assert lost <= 2 * EVERY, "one interval, and the save that was cut short"
    if number < times - 1:
      trial(lost_steps=lost)
  seconds = group.recover(reached=reached, struck=struck)
  assert_same(calm(layout), group.workdir)
  assert not (group.workdir / "quarantine").exists()
  trial(lost_steps=lost, seconds=seconds)

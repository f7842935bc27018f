"""A loader's worker process hangs.

The watchdog names the phase "data", no worker is left, and the same command goes on.
"""

import signal
import time

import groups
import pytest
from trials import assert_same

WORKERS = ("--config.data.num_workers=2", '--config.data.cache="none"')


@pytest.mark.slow
@pytest.mark.parametrize("layout", [groups.TWO, groups.ONE_PMAP], ids=str)
def test_a_worker_hangs(layout, tmp_path, data, calm, trial):
  group = groups.Group(tmp_path / "run", data, layout, *WORKERS, "--stuck_after=10")
  group.start()
  try:
    group.wait_for_rows(7)
    found = groups.workers_of(group.running[-1].pid)
    groups.kill(groups.workers(found)[0], signal.SIGSTOP)
    struck = time.monotonic()
    ended = group.finish()
  finally:
    group.kill()
  assert [e.status for e in ended] == [124] * layout.processes, ended
  for one in ended:  # multiprocessing tells of what the killed worker held, after this line
    (line,) = (line for line in one.errors if line.startswith("pretrain: no progress for "))
    assert "in phase 'data' at step" in line
    assert layout.processes == 1 or f"process {layout.processes - 1} (" in line
  groups.wait_until_gone(found, seconds=5)
  lost = group.lost_steps()
  trial(lost_steps=lost, seconds=group.recover(reached=group.reached(), struck=struck))
  assert_same(calm(layout), group.workdir)

"""A loader's worker process is killed.

The run ends at once with what happened; started again, the end is the same bit for bit.
"""

import time

import groups
import pytest
from trials import assert_same

WORKERS = ("--config.data.num_workers=2", '--config.data.cache="none"')


@pytest.mark.slow
@pytest.mark.parametrize("layout", [groups.ONE, groups.TWO, groups.ONE_PMAP], ids=str)
def test_a_worker_is_killed(layout, tmp_path, data, calm, trial):
  group = groups.Group(tmp_path / "run", data, layout, *WORKERS)
  group.start()
  try:
    group.wait_for_rows(7)
    found = groups.workers_of(group.running[-1].pid)
    groups.kill(groups.workers(found)[0])
    struck = time.monotonic()
    ended = group.finish()
  finally:
    group.kill()
  assert [e.status for e in ended] == [43] * (layout.processes - 1) + [1], ended
  said = "RuntimeError: Worker process was terminated unexpectedly with exit code -9"
  assert any(line.startswith(said) for line in ended[-1].errors)
  assert max(e.at for e in ended) - struck < 8, "grain looks once a second"
  groups.wait_until_gone(found, seconds=5)
  lost = group.lost_steps()
  trial(lost_steps=lost, seconds=group.recover(reached=group.reached(), struck=struck))
  assert_same(calm(layout), group.workdir)

"""The trainer is killed: no worker process outlives it."""

import signal

import groups
import pytest

WORKERS = ("--config.data.num_workers=2", '--config.data.cache="none"')


@pytest.mark.slow
@pytest.mark.parametrize(
  ("layout", "frozen"),
  [(groups.ONE, True), (groups.TWO, False), (groups.ONE_PMAP, False)],
  ids=str,
)
def test_no_worker_is_left(layout, frozen, tmp_path, data, trial):
  """Nor one that hangs just then."""
  group = groups.Group(tmp_path / "run", data, layout, *WORKERS, steps=5000)
  group.start()
  try:
    group.wait_for_rows(3)
    found = [pid for process in group.running for pid in groups.workers_of(process.pid)]
    assert len(groups.workers(found)) == 2 * layout.processes
    if frozen:
      groups.kill(groups.workers(found)[0], signal.SIGSTOP)
    for process in group.running:
      process.kill()
    if frozen:  # the kernel holds it back until somebody lets it go on
      groups.kill(groups.workers(found)[0], signal.SIGCONT)
    trial(seconds=groups.wait_until_gone(found, seconds=5))
  finally:
    group.kill()
    group.finish()

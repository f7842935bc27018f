"""Two runs of several processes, to which nothing happens, are bitwise equal.

Those of one process are in tests/faults/test_01_killed.py.
"""

import binaries
import pytest
import synthetic
from trials import assert_same_state, numbers_of

STEPS = 12


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_two_processes_twice(mode, tmp_path):
  synthetic.prepare("fashion_mnist", tmp_path / "data")
  workdirs = tmp_path / "one", tmp_path / "other"
  for workdir in workdirs:
    running = binaries.start_many(
      "pretrain",
      f"--config={binaries.MAE}",
      f"--workdir={workdir}",
      f"--data_dir={tmp_path / 'data'}",
      f"--config.parallel.mode={mode}",
      f"--config.train.duration.steps={STEPS}",
      "--config.train.deterministic=true",
      *binaries.QUICK,
      processes=2,
      devices=2,
    )
    ended = binaries.finish_all(running)
    assert [e.status for e in ended] == [0, 0], ended
  assert_same_state(*workdirs, STEPS)
  assert numbers_of(workdirs[0]) == numbers_of(workdirs[1])

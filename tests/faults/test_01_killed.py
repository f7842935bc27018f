"""kill -9 at a random step, one process, jit and pmap.

Started again, the run ends as one that never was killed, bit for bit.
"""

import random
import signal
import time

import binaries
import pytest
import synthetic
from trials import EVERY, JIT, PMAP, STEPS, Trial, assert_same


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


def test_killed_then_asked_to_stop_then_finished(tmp_path, data):
  calm, troubled = (Trial(tmp_path / name, data, JIT) for name in ("calm", "troubled"))
  undisturbed = calm.start()  # meanwhile
  try:
    assert troubled.struck(signal.SIGKILL, rows=12).status == -signal.SIGKILL
    stopped = troubled.struck(signal.SIGTERM, rows=3)
    assert stopped.status == 42, stopped
    line = stopped.errors[-1]
    assert "saved step" in line and "start the same command again to go on" in line
    saved = int(line.partition("saved step ")[2].split()[0])
    ended = troubled.to_the_end()
    assert f"going on from step {saved} of {STEPS}" in ended.out
    assert binaries.finish(undisturbed).status == 0
  finally:
    undisturbed.kill()
  assert_same(calm.workdir, troubled.workdir)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [JIT, PMAP], ids=lambda layout: layout[0])
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(layout, seed, tmp_path, data):
  calm, troubled = (Trial(tmp_path / name, data, layout) for name in ("calm", "troubled"))
  calm.to_the_end()
  moments = random.Random(seed)
  for _ in range(4):
    ended = troubled.struck(
      signal.SIGKILL, rows=moments.randrange(1, 12), delay=moments.uniform(0, 0.3)
    )
    if ended.status == 0:
      break
  troubled.to_the_end()
  assert_same(calm.workdir, troubled.workdir)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [JIT, PMAP], ids=lambda layout: layout[0])
def test_killed_while_starting(layout, tmp_path, data):
  """Before the first step, and again while the state is restored."""
  calm, troubled = (Trial(tmp_path / name, data, layout) for name in ("calm", "troubled"))
  calm.to_the_end()
  moments = random.Random(2)
  troubled.struck(signal.SIGKILL, rows=EVERY + 1)
  for _ in range(4):
    process = troubled.start()
    time.sleep(moments.uniform(0.5, 8))
    process.kill()
    binaries.finish(process)
  troubled.to_the_end()
  assert_same(calm.workdir, troubled.workdir)


@pytest.mark.slow
def test_asked_to_stop_under_pmap(tmp_path, data):
  calm, troubled = (Trial(tmp_path / name, data, PMAP) for name in ("calm", "troubled"))
  calm.to_the_end()
  assert troubled.struck(signal.SIGTERM, rows=7).status == 42
  troubled.to_the_end()
  assert_same(calm.workdir, troubled.workdir)

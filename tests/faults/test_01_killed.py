"""kill -9 at a random step, one process, jit and pmap.

Started again, the run ends as one that never was killed, bit for bit.
"""

import functools
import random
import signal
import time

import binaries
import pytest
from trials import EVERY, JIT, PMAP, STEPS, Trial, assert_same


@pytest.mark.repeat
def test_killed_then_asked_to_stop_then_finished(tmp_path, data, trial):
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
  killed, asked = troubled.recoveries
  assert killed.lost_steps <= 2 * EVERY and asked.lost_steps == 0
  trial(lost_steps=killed.lost_steps, seconds=killed.seconds)


@pytest.fixture(scope="module")
def calm(tmp_path_factory, data):
  """Returns the workdir of a run that nothing happened to, by layout."""
  folder = tmp_path_factory.mktemp("calm")

  @functools.cache
  def run(layout):
    undisturbed = Trial(folder / layout[0], data, layout)
    undisturbed.to_the_end()
    return undisturbed.workdir

  return run


@pytest.mark.slow
@pytest.mark.parametrize(
  ("layout", "seed"), [(JIT, 0), (PMAP, 1), (JIT, 2), (PMAP, 3), (JIT, 4)], ids=str
)
def test_killed_at_random_moments(layout, seed, tmp_path, data, calm, trial):
  troubled, moments = Trial(tmp_path, data, layout), random.Random(seed)
  for _ in range(2):
    troubled.struck(signal.SIGKILL, rows=moments.randrange(1, 18), delay=moments.uniform(0, 0.3))
  troubled.to_the_end()
  assert_same(calm(layout), troubled.workdir)
  assert troubled.recoveries
  for lost_steps, seconds in troubled.recoveries:
    assert 0 <= lost_steps <= 2 * EVERY, "one interval, and the save that the kill interrupted"
    trial(lost_steps=lost_steps, seconds=seconds)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [JIT, PMAP], ids=lambda layout: layout[0])
def test_killed_while_starting(layout, tmp_path, data, calm, trial):
  """Before the first step, and again while the state is restored."""
  troubled, moments = Trial(tmp_path, data, layout), random.Random(2)
  troubled.struck(signal.SIGKILL, rows=EVERY + 1)
  for _ in range(2):
    process = troubled.start()
    time.sleep(moments.uniform(0.5, 8))
    process.kill()
    binaries.finish(process)
  troubled.to_the_end()
  assert_same(calm(layout), troubled.workdir)
  ((lost_steps, seconds),) = troubled.recoveries
  trial(lost_steps=lost_steps, seconds=seconds)


@pytest.mark.slow
def test_asked_to_stop_under_pmap(tmp_path, data, calm):
  troubled = Trial(tmp_path, data, PMAP)
  assert troubled.struck(signal.SIGTERM, rows=7).status == 42
  troubled.to_the_end()
  assert_same(calm(PMAP), troubled.workdir)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [JIT, PMAP], ids=lambda layout: layout[0])
def test_two_runs_are_bitwise_equal(layout, tmp_path, data, calm):
  again = Trial(tmp_path, data, layout)
  again.to_the_end("--config.train.deterministic=true")
  assert_same(calm(layout), again.workdir)

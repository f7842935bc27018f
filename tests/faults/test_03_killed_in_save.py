"""kill -9 during a save, one process, two processes and pmap.

The step before is used, what the save left is removed, and the run ends as one that nothing
happened to.
"""

import random
import signal
import time

import pytest
import saver
from groups import ONE_PMAP, TWO, Group
from trials import STEPS, assert_same

from pretrainjax.checkpoint.manager import Checkpoints

MEGABYTES = 32.0


def leftovers(workdir):
  return [path for path in (workdir / "checkpoints").glob("*orbax-checkpoint-tmp*")]


def newest(workdir):
  folder = workdir / "checkpoints"
  names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
  return max((int(name) for name in names if name.isdecimal()), default=0)


def wait_for_a_save(workdir, after: int, running: list) -> None:
  """Until one is under way, with so many behind it."""
  while not (newest(workdir) >= after and leftovers(workdir)):
    # Of two kinds: processes of `subprocess` and of `multiprocessing`.
    assert all(p.poll() is None if hasattr(p, "poll") else p.is_alive() for p in running)
    time.sleep(0.001)


def killed_once(workdir, moment: float, *, first: int = 1) -> int:
  """The step that was being saved when the process was killed."""
  with saver.saving(workdir, megabytes=MEGABYTES, first=first) as process:
    wait_for_a_save(workdir, first + 1, [process])
    time.sleep(moment)
    process.kill()
    process.join()
  found = [path.name.partition(".")[0] for path in leftovers(workdir)]
  return max(map(int, found), default=newest(workdir))


def assert_goes_on(workdir, step: int, trial) -> None:
  struck = time.monotonic()
  with Checkpoints(workdir) as checkpoints:
    restored = checkpoints.restore(saver.state(0, megabytes=MEGABYTES))
    seconds, saved = time.monotonic() - struck, int(restored["step"])
    assert step - 1 <= saved <= step
    saver.assert_is(restored, saved, megabytes=MEGABYTES)
    checkpoints.save(saved + 1, saver.state(saved + 1, megabytes=MEGABYTES), config=saver.CONFIG)
    checkpoints.wait()
    assert checkpoints.steps()[0] == saved + 1
    assert not leftovers(workdir)
  assert not (workdir / "quarantine").exists()
  trial(lost_steps=step - saved, seconds=seconds)


@pytest.mark.slow
def test_killed_at_random_moments_of_a_save(tmp_path, trial):
  moments = random.Random(0)
  for number in range(8):
    workdir = tmp_path / str(number)
    assert_goes_on(workdir, killed_once(workdir, moments.uniform(0, 0.4)), trial)


# Who is killed, each time in a save.
VICTIMS = {ONE_PMAP: (0,), TWO: (1, 0)}


@pytest.mark.slow
@pytest.mark.parametrize("layout", VICTIMS, ids=str)
def test_a_run(layout, tmp_path, data, calm, trial):
  """One that saves at every step, so that hardly anything is lost."""
  group, before = Group(tmp_path / "run", data, layout), 0
  saves = "--config.train.checkpoint_every=1"
  for victim in VICTIMS[layout]:
    running = group.start(saves)
    wait_for_a_save(group.workdir, before + 3, running)
    running[victim].kill()
    ended = group.finish()
    assert ended[victim].status == -signal.SIGKILL
    assert {e.status for e in ended} <= {-signal.SIGKILL, 43}
    before = newest(group.workdir)
    trial(lost_steps=group.lost_steps())
  ended = group.to_the_end(saves)
  assert f"going on from step {before} of {STEPS}" in ended[0].out
  assert not leftovers(group.workdir) and not (group.workdir / "quarantine").exists()
  assert_same(calm(layout), group.workdir)

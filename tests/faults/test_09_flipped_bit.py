"""A flipped bit in a file of a checkpoint, one process and two processes.

It is found, the step is set aside with the reason, and the run goes on from the step before.
"""

import random
import shutil
import time
from pathlib import Path

import binaries
import damage
import pytest
import saver
from groups import TWO, Group
from trials import EVERY, STEPS, assert_same, assert_same_state, numbers_of

from pretrainjax.checkpoint.manager import Checkpoints

MEGABYTES = 0.25


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("saved")
  with Checkpoints(workdir) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, saver.state(step, megabytes=MEGABYTES), config=saver.CONFIG)
  return workdir


def files(workdir, step: int):
  folder = workdir / "checkpoints" / str(step)
  return sorted(path.relative_to(workdir) for path in folder.rglob("*") if path.is_file())


def restored_step(workdir) -> int:
  """The step that a restore takes, after a look at all its bits."""
  with Checkpoints(workdir) as checkpoints:
    restored = checkpoints.restore(saver.state(0, megabytes=MEGABYTES))
  step = int(restored["step"])
  saver.assert_is(restored, step, megabytes=MEGABYTES)
  return step


def flipped(saved, workdir, name, chance) -> bool:
  """Whether a flip sends the restore back a step; the state is right in either case."""
  shutil.copytree(saved, workdir)
  damage.flip(workdir / name, chance)
  step = restored_step(workdir)
  reason = workdir / "quarantine" / "STEP-2" / "reason.txt"
  assert step == (1 if reason.is_file() else 2)
  return step == 1


def test_the_array_data(saved, tmp_path, trial):
  """Where Orbax finds nothing."""
  largest = damage.array_data(saved / "checkpoints/2").relative_to(saved)
  chance, start = random.Random(0), time.monotonic()
  for number in range(4):
    found = flipped(saved, tmp_path / str(number), largest, chance)
    assert found
    trial(lost_steps=1, seconds=(time.monotonic() - start) / (number + 1))


@pytest.mark.slow
def test_any_file(saved, tmp_path, trial):
  """What is flipped beside the arrays may matter or not; a wrong state comes of none."""
  chance = random.Random(1)
  for name in files(saved, 2):
    for number in range(6):
      workdir = tmp_path / f"{name.as_posix().replace('/', '-')}-{number}"
      found = flipped(saved, workdir, name, chance)
      shutil.rmtree(workdir)
      trial(lost_steps=int(found))


@pytest.mark.slow
def test_a_run_goes_on_from_the_step_before_and_ends_the_same(capsys, finished, tmp_path, trial):
  workdir = finished.copy(tmp_path / "run")
  damage.flip(damage.array_data(workdir / "checkpoints/4"))
  start = time.monotonic()
  process = binaries.start("pretrain", *finished.command(workdir))
  ended = binaries.finish(process)
  assert ended.status == 0, ended.errors
  assert "going on from step 2 of 4" in ended.out
  (line,) = [line for line in ended.errors if "CHECKPOINT DAMAGED" in line]
  assert "step 4 (checksum differs in" in line and str(workdir / "quarantine" / "STEP-4") in line
  assert_same_state(finished.workdir, workdir, 4)
  assert numbers_of(finished.workdir) == numbers_of(workdir)
  trial(lost_steps=2, seconds=time.monotonic() - start)


@pytest.mark.slow
def test_the_part_of_one_process_sends_all_back(data, calm, tmp_path, trial):
  workdir = Path(shutil.copytree(calm(TWO), tmp_path / "run"))
  file = damage.array_data(workdir / "checkpoints" / str(STEPS), process=1)
  chance = random.Random(0)
  for _ in range(32):  # one of them may lie where nothing is read
    damage.flip(file, chance)
  start = time.monotonic()
  ended = Group(workdir, data, TWO).to_the_end()
  assert f"going on from step {STEPS - EVERY} of {STEPS}" in ended[0].out
  assert sum(f"CHECKPOINT DAMAGED: step {STEPS}" in line for line in ended[0].errors) == 1
  assert (workdir / "quarantine" / f"STEP-{STEPS}" / "reason.txt").is_file()
  assert_same(calm(TWO), workdir)
  trial(lost_steps=EVERY, seconds=time.monotonic() - start)

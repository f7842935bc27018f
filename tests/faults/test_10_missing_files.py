"""A truncated, zeroed or deleted file, and a torn, empty or copied step.

It is passed over with the reason, and the run goes on from the step before.
"""

import shutil
import time

import binaries
import damage
import pytest
import saver
from trials import assert_same_state

from pretrainjax.checkpoint.manager import Checkpoints

MEGABYTES = 0.25


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("saved")
  with Checkpoints(workdir) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, saver.state(step, megabytes=MEGABYTES), config=saver.CONFIG)
  return workdir


def zero(path):
  path.write_bytes(bytes(path.stat().st_size))


def assert_goes_on(workdir, step: int) -> int:
  """What is restored is right, and the next save is made; the step that it was."""
  with Checkpoints(workdir) as checkpoints:
    restored = checkpoints.restore(saver.state(0, megabytes=MEGABYTES))
    found = int(restored["step"])
    saver.assert_is(restored, found, megabytes=MEGABYTES)
    state = saver.state(step, megabytes=MEGABYTES)
    assert checkpoints.save(step, state, config=saver.CONFIG)
    checkpoints.wait()
    assert checkpoints.steps() == [step, found]
  return found


@pytest.mark.slow
@pytest.mark.parametrize(
  "how", [damage.truncate, zero, lambda p: p.unlink()], ids=["cut", "0", "no"]
)
def test_any_file(how, saved, tmp_path, trial):
  """Files that Orbax looks at and does not need may go; a wrong state comes of none."""
  folder, needed = saved / "checkpoints" / "2", 0
  names = [p.relative_to(saved) for p in sorted(folder.rglob("*")) if p.is_file()]
  for number, name in enumerate(names):
    workdir, start = tmp_path / str(number), time.monotonic()
    shutil.copytree(saved, workdir)
    how(workdir / name)
    found = assert_goes_on(workdir, 3)
    assert (found == 1) == (workdir / "quarantine" / "STEP-2").exists()
    needed += found == 1
    shutil.rmtree(workdir)
    trial(lost_steps=2 - found, seconds=time.monotonic() - start)
  assert needed >= 5, "state, data, config and meta at the least"


def empty(folder):
  shutil.rmtree(folder)
  folder.mkdir()


def half_deleted(folder):
  """As `rm -r` that was interrupted."""
  for path in sorted(path for path in folder.rglob("*") if path.is_file())[::2]:
    path.unlink()


def copied(folder):
  """The step before under its number, as a mistaken `cp -r` makes it."""
  shutil.rmtree(folder)
  shutil.copytree(folder.with_name("1"), folder)


def patched(folder):
  """The arrays of another step, with the rest as it was."""
  shutil.rmtree(folder / "state")
  shutil.copytree(folder.with_name("1") / "state", folder / "state")


def without(item):
  return lambda folder: shutil.rmtree(folder / item)


SURGERY = {
  "empty": empty,
  "half deleted": half_deleted,
  "copied": copied,
  "patched": patched,
  "no state": without("state"),
  "no config": without("config"),
  "no meta": without("meta"),
}


@pytest.mark.parametrize("how", SURGERY.values(), ids=SURGERY)
def test_a_folder(how, saved, tmp_path, trial):
  shutil.copytree(saved, tmp_path / "run")
  how(tmp_path / "run" / "checkpoints" / "2")
  start = time.monotonic()
  assert assert_goes_on(tmp_path / "run", 2) == 1  # the same number again
  reason = (tmp_path / "run" / "quarantine" / "STEP-2" / "reason.txt").read_text()
  assert reason.splitlines()[0]
  trial(lost_steps=1, seconds=time.monotonic() - start)


def evaluated(workdir, data) -> binaries.Ended:
  config = binaries.ROOT / "configs/evaluate/image/fashion_mnist.py"
  where = (f"--config={config}:smoke", f"--workdir={workdir}", f"--data_dir={data}")
  return binaries.finish(binaries.start("evaluate", *where, "--no_random_init"))


@pytest.mark.slow
def test_a_run_and_its_readers_pass_an_empty_step_over(finished, tmp_path, trial):
  workdir = finished.copy(tmp_path / "run")
  empty(workdir / "checkpoints" / "4")
  shutil.copytree(workdir / "checkpoints" / "2", workdir / "checkpoints" / "9")
  read = evaluated(workdir, finished.data)
  assert read.status == 0 and "evaluating step 2 of" in read.out, read
  assert any("step 9: is a copy of step 2" in line for line in read.errors)
  assert not (workdir / "quarantine").exists(), "a reader moves nothing"
  start = time.monotonic()
  ended = binaries.finish(binaries.start("pretrain", *finished.command(workdir)))
  assert ended.status == 0 and "going on from step 2 of 4" in ended.out, ended
  assert {p.name for p in (workdir / "quarantine").iterdir()} == {"STEP-4", "STEP-9"}
  assert_same_state(finished.workdir, workdir, 4)
  trial(lost_steps=2, seconds=time.monotonic() - start)


@pytest.mark.slow
@pytest.mark.parametrize("how", [damage.truncate, zero], ids=["cut", "0"])
def test_it_is_told_in_one_line(how, finished, tmp_path, trial):
  """Of hundreds of reads that end in errors, of which each would print a traceback."""
  workdir = finished.copy(tmp_path / "run")
  how(damage.array_data(workdir / "checkpoints/4"))
  read = evaluated(workdir, finished.data)
  start = time.monotonic()
  ended = binaries.finish(binaries.start("pretrain", *finished.command(workdir)))
  for one in (read, ended):
    assert one.status == 0, one.errors[-40:]
    assert sum("CHECKPOINT DAMAGED" in line for line in one.errors) == 1
    assert not any("Traceback" in line for line in one.errors)
  trial(lost_steps=2, seconds=time.monotonic() - start)

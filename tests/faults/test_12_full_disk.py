"""A full disk, one process and two processes.

Saves are passed over loudly, what was saved stays, and the same command goes on.
"""

import contextlib
import resource
import shutil
import time
from pathlib import Path

import binaries
import jax
import jax.numpy as jnp
import mounts
import numpy as np
import pytest
from ml_collections import ConfigDict
from trials import STEPS, rows_of

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError

CONFIG = ConfigDict({"seed": 0})


def state(step: int):
  noise = np.random.default_rng(step).normal(size=(300, 300))  # what does not compress
  return {"params": {"kernel": jnp.asarray(noise, jnp.float32)}, "step": jnp.asarray(step)}


@contextlib.contextmanager
def no_room():
  """Files may not grow: the nearest to a full disk that a process can make for itself."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Orbax's threads raise too, each for itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_found_out_while_it_is_written(tmp_path, trial, caplog):
  """One save fails, the next one is made by the same run."""
  start = time.monotonic()
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, state(1), config=CONFIG)
    checkpoints.wait()
    with no_room():
      checkpoints.save(2, state(2), config=CONFIG)
      checkpoints.wait_until_idle()
    assert "CHECKPOINT NOT SAVED: step 2: file too large; training goes on" in caplog.text
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"], "no leftovers"
    checkpoints.save(3, state(3), config=CONFIG)
    checkpoints.wait()
    assert checkpoints.steps() == [3, 1]
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(state(0)), state(3))
  trial(seconds=time.monotonic() - start)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_last_save_is_an_error_and_the_same_command_goes_on(tmp_path, trial):
  start = time.monotonic()
  with pytest.raises(UserError, match="cannot save step 2: file too large; what was sa") as refusal:
    with Checkpoints(tmp_path) as checkpoints:
      checkpoints.save(1, state(1), config=CONFIG)
      checkpoints.wait()
      with no_room():
        checkpoints.save(2, state(2), config=CONFIG)
        checkpoints.wait()
  assert "\n" not in str(refusal.value)
  with Checkpoints(tmp_path, read_only=True) as reader:
    assert reader.steps() == [1]
  with Checkpoints(tmp_path) as checkpoints:  # started again, with room
    restored = checkpoints.restore(state(0))
    jax.tree.map(np.testing.assert_array_equal, restored, state(1))
    checkpoints.save(2, state(2), config=CONFIG)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 1]
  trial(lost_steps=1, seconds=time.monotonic() - start)


def fill(folder, *, leave: int) -> Path:
  """A file that takes all room but so many bytes."""
  path = folder / "filler"
  with path.open("wb") as file:
    file.write(bytes(shutil.disk_usage(folder).free - leave))
  return path


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_trains_on_and_goes_on_once_there_is_room(processes, finished, tmp_path, trial):
  """It passes saves over, says so, and fails at the end for want of the last one.

  Of two processes one would wait for the other, where a save that is under way fails: that ends
  the run at once.
  """
  with mounts.disk(tmp_path / "small", "size=40m") as small:
    workdir, steps = small / "run", f"--config.train.duration.steps={STEPS}"

    def start():
      command = finished.command(workdir, steps)
      return binaries.start_many("pretrain", *command, processes=processes)

    running = start()
    while not {"2", "4"} <= {path.name for path in (workdir / "checkpoints").glob("*")}:
      assert running[0].poll() is None
      time.sleep(0.005)
    filler = fill(small, leave=200_000)
    ended, struck = binaries.finish_all(running), time.monotonic()
    assert ended[0].status == 2, ended[0]
    (line,) = [line for line in ended[0].errors if "error: " in line]
    assert "cannot save step " in line and "what was saved before is intact" in line
    if processes == 1 or f"cannot save step {STEPS}: " in line:
      assert sum("CHECKPOINT NOT SAVED" in line for line in ended[0].errors) > 2
      assert rows_of(workdir)[-1]["step"] == STEPS, "it trained to its end"
      assert not list((workdir / "checkpoints").glob("*tmp*"))
    else:
      assert "no space left on device" in line
    with Checkpoints(workdir, read_only=True) as reader:
      saved, reached = reader.steps()[0], rows_of(workdir)[-1]["step"]
      reader.arrays(saved)
    filler.unlink()
    again = binaries.finish_all(start())
    assert [e.status for e in again] == [0] * processes, again
    assert f"going on from step {saved} of {STEPS}" in again[0].out
    with Checkpoints(workdir, read_only=True) as reader:
      assert reader.steps()[0] == STEPS == int(reader.arrays(STEPS)["step"])
    trial(lost_steps=reached - saved, seconds=time.monotonic() - struck)

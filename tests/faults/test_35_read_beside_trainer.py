"""A reader beside a trainer that writes and deletes.

Whatever it reads is one whole step; a step that is deleted under it is left for a newer one.
"""

import time

import binaries
import pytest
import saver

import pretrainjax as pj
from pretrainjax.checkpoint.encoder import newest_intact
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.checkpoint.reference import Reference

MEGABYTES = 4.0


@pytest.mark.slow
def test_every_read_is_one_whole_step(tmp_path, caplog, trial):
  """Of a writer that keeps one step and saves as fast as it can."""
  with saver.saving(tmp_path, megabytes=MEGABYTES, last=1) as writer:
    while not (tmp_path / "checkpoints" / "1").is_dir():
      assert writer.is_alive()
      time.sleep(0.01)
    steps = []
    for _ in range(40):
      with Checkpoints(tmp_path, read_only=True) as checkpoints:
        step, _, state = newest_intact(
          checkpoints, Reference(tmp_path), read=lambda step, _, c=checkpoints: c.arrays(step)
        )
      assert int(state["step"]) == step
      saver.assert_is(state, step, megabytes=MEGABYTES)
      steps.append(step)
      trial()
    assert writer.is_alive()
  assert steps == sorted(steps) and len(set(steps)) > 10, "the writer was at work"
  assert "DAMAGED" not in caplog.text


@pytest.mark.slow
def test_an_encoder_beside_its_run(tmp_path, data, caplog, trial):
  process = binaries.start(
    "pretrain",
    f"--config={binaries.MAE}",
    f"--workdir={tmp_path / 'run'}",
    f"--data_dir={data}",
    "--config.train.duration.steps=300",
    "--config.train.checkpoint_every=1",
    "--config.train.keep.last=1",
    *binaries.QUICK,
  )
  steps = []
  while process.poll() is None:
    folder = tmp_path / "run" / "checkpoints"
    if any(path.name.isdecimal() for path in (folder.iterdir() if folder.is_dir() else ())):
      steps.append(pj.load(tmp_path / "run").step)
      trial()
  ended = binaries.finish(process)
  assert ended.status == 0, ended.errors
  assert steps == sorted(steps) and len(set(steps)) > 3
  assert "DAMAGED" not in caplog.text

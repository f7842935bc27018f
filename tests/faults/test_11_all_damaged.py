"""All checkpoints damaged.

Every binary says so in one line and ends with 2; nothing is deleted or moved, and no run begins
anew.
"""

import time

import binaries
import damage
import pytest


def content(workdir):
  return {p.relative_to(workdir): p.read_bytes() for p in workdir.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_said_by_all_that_read_them(capsys, finished, tmp_path, trial):
  workdir = finished.copy(tmp_path / "run")
  for step in ("2", "4"):
    damage.flip(damage.array_data(workdir / "checkpoints" / step))
  before, configs = content(workdir), binaries.ROOT / "configs"
  evaluate = f"--config={configs / 'evaluate/image/fashion_mnist.py'}:smoke"
  finetune = f"--config={configs / 'finetune/image/vit_fashion_mnist.py'}:smoke"
  data = f"--data_dir={finished.data}"
  for verb, *arguments in [
    ("pretrain", *finished.command(workdir)),
    ("pretrain", *finished.command(workdir)),  # nor the second time
    ("evaluate", evaluate, f"--workdir={workdir}", data),
    ("finetune", finetune, f"--workdir={tmp_path / 'tuned'}", data, f"--config.init={workdir}"),
  ]:
    start = time.monotonic()
    ended = binaries.call(capsys, verb, *arguments)
    assert ended.status == 2, ended
    assert ended.errors[-1].startswith(f"{verb}: error: {workdir}"), ended.errors
    assert "intact" in ended.errors[-1]
    assert not any("Traceback" in line for line in ended.errors)
    assert content(workdir) == before
    assert not (tmp_path / "tuned" / "checkpoints").exists()
    trial(seconds=time.monotonic() - start)


@pytest.mark.slow
def test_two_processes(finished, tmp_path, trial):
  workdir = finished.copy(tmp_path / "run")
  for step in ("2", "4"):
    (workdir / "checkpoints" / step / "meta" / "metadata").unlink()
  before, start = content(workdir), time.monotonic()
  command = finished.command(workdir)
  ended = binaries.finish_all(binaries.start_many("pretrain", *command, processes=2))
  assert [e.status for e in ended] == [2, 2] or sorted(e.status for e in ended) == [2, 43], ended
  assert any("no checkpoint is intact" in line for e in ended for line in e.errors)
  assert content(workdir) == before
  trial(seconds=time.monotonic() - start)

"""A run that is killed at any moment, and started again, ends as one that never was.

Real processes, real signals: parameters, optimizer, statistics and key are compared bit for bit,
and so are all numbers in metrics.jsonl but those of timing.
"""

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import binaries
import jax
import numpy as np
import pytest
import synthetic

from pretrainjax.checkpoint.manager import Checkpoints

STEPS, EVERY = 40, 5
JIT, PMAP = ("jit", 1), ("pmap", 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


class Trial:
  """One command, to be started as often as it takes."""

  def __init__(self, workdir: Path, data: Path, layout: tuple[str, int]):
    mode, self._devices = layout
    self.workdir = workdir
    self._arguments = (
      f"--config={binaries.MAE}",
      f"--workdir={workdir}",
      f"--data_dir={data}",
      f"--config.parallel.mode={mode}",
      f"--config.train.duration.steps={STEPS}",
      f"--config.train.checkpoint_every={EVERY}",
      "--config.evals.collapse.every=10",
      *binaries.QUICK,
    )

  def start(self) -> subprocess.Popen:
    return binaries.start("pretrain", *self._arguments, devices=self._devices)

  def to_the_end(self) -> binaries.Ended:
    ended = binaries.finish(self.start())
    assert ended.status == 0, "\n".join(ended.errors)
    return ended

  def struck(self, with_signal: int, *, rows: int, delay: float = 0.0) -> binaries.Ended:
    """Sends a signal, once there are so many more rows of metrics and a moment has passed."""
    path = self.workdir / "metrics.jsonl"
    before = len(path.read_bytes().splitlines()) if path.exists() else 0
    # What the last process wrote after its last checkpoint is taken back at the start.
    wanted = min(before + rows, STEPS - 1)
    process, size = self.start(), -1
    while process.poll() is None:
      new = path.read_bytes() if path.exists() else b""
      is_running = len(new) != size and size >= 0  # the file as it was found is no sign of life
      size = len(new)
      if is_running and new.count(b"\n") >= wanted:
        break
      time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(with_signal)
    return binaries.finish(process)


def assert_same(one: Path, other: Path) -> None:
  """The newest states are the same bits, the metrics the same numbers."""
  states = []
  for workdir in (one, other):
    with Checkpoints(workdir, read_only=True) as checkpoints:
      assert checkpoints.steps()[0] == STEPS
      states.append(jax.device_get(checkpoints.arrays(STEPS)))
  assert set(states[0]) >= {"step", "params", "opt_state", "key", "bad_steps"}
  jax.tree.map(_assert_same_bits, *states)
  assert numbers(one) == numbers(other)


def _assert_same_bits(a: np.ndarray, b: np.ndarray) -> None:
  assert (a.dtype, a.shape) == (b.dtype, b.shape)
  assert a.tobytes() == b.tobytes()


def numbers(workdir: Path) -> list[dict]:
  """The rows of metrics.jsonl without what depends on timing."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [{k: v for k, v in json.loads(x).items() if not k.startswith("perf/")} for x in lines]
  trained = [row["step"] for row in rows if "loss" in row]
  assert trained == list(range(1, STEPS + 1)), "each step has one row, in order"
  assert sum("collapse/rank_me" in row for row in rows) == STEPS // 10
  return rows


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

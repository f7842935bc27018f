"""One command as a real process, struck by real signals, and the comparison of what it leaves.

Parameters, optimizer, statistics and key are compared bit for bit, and so are all numbers in
metrics.jsonl but those of timing.
"""

import json
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import binaries
import jax
import numpy as np

from pretrainjax.checkpoint.manager import Checkpoints

STEPS, EVERY = 40, 5
JIT, PMAP = ("jit", 1), ("pmap", 2)


class Recovery(NamedTuple):
  """What a fault cost.

  Attributes:
    lost_steps: that were done again.
    seconds: from the fault until the run was further than it had been.
  """

  lost_steps: int
  seconds: float


class Trial:
  """One command, to be started as often as it takes.

  Attributes:
    workdir: of the run.
    recoveries: one a start of `to_the_end` or `struck` after a signal of `struck`.
  """

  def __init__(self, workdir: Path, data: Path, layout: tuple[str, int], *more: str):
    mode, self._devices = layout
    self.workdir = workdir
    self.recoveries: list[Recovery] = []
    self._struck_at, self._reached, self._saved = None, 0, 0
    self._arguments = (
      f"--config={binaries.MAE}",
      f"--workdir={workdir}",
      f"--data_dir={data}",
      f"--config.parallel.mode={mode}",
      f"--config.train.duration.steps={STEPS}",
      f"--config.train.checkpoint_every={EVERY}",
      "--config.evals.collapse.every=10",
      *binaries.QUICK,
      *more,
    )

  def start(self, *more: str) -> subprocess.Popen:
    return binaries.start("pretrain", *self._arguments, *more, devices=self._devices)

  def to_the_end(self, *more: str) -> binaries.Ended:
    process = self.start(*more)
    while self._struck_at is not None and process.poll() is None:
      self._look()
      time.sleep(0.002)
    ended = binaries.finish(process)
    self._look()
    assert ended.status == 0, "\n".join(ended.errors)
    return ended

  def _newest(self) -> int:
    folder = self.workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return max((int(name) for name in names if name.isdecimal()), default=0)

  def _look(self) -> None:
    """Notes a recovery as soon as the run is further than it was when it was struck."""
    if self._struck_at is None:
      return
    if any(row["step"] > self._reached for row in rows_of(self.workdir)[-1:]):
      lost, seconds = self._reached - self._saved, time.monotonic() - self._struck_at
      self.recoveries.append(Recovery(lost, seconds))
      self._struck_at = None

  def struck(self, with_signal: int, *, rows: int, delay: float = 0.0) -> binaries.Ended:
    """Sends a signal, once there are so many more rows of metrics and a moment has passed."""
    path = self.workdir / "metrics.jsonl"
    before = len(path.read_bytes().splitlines()) if path.exists() else 0
    # What the last process wrote after its last checkpoint is taken back at the start.
    wanted = min(before + rows, STEPS - 1)
    process, size = self.start(), -1
    while process.poll() is None:
      new = path.read_bytes() if path.exists() else b""
      self._look()
      is_running = len(new) != size and size >= 0  # the file as it was found is no sign of life
      size = len(new)
      if is_running and new.count(b"\n") >= wanted:
        break
      time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(with_signal)
    struck_at, ended = time.monotonic(), binaries.finish(process)
    if ended.status != 0:  # or it was at its end already
      self._reached = max([self._reached, *(row["step"] for row in rows_of(self.workdir))])
      if self._struck_at is None:  # or it had not come further since the one before
        self._struck_at, self._saved = struck_at, self._newest()
    return ended


def assert_same(one: Path, other: Path) -> None:
  """The newest states are the same bits, the metrics the same numbers."""
  assert_same_state(one, other, STEPS)
  assert numbers(one) == numbers(other)


def assert_same_state(one: Path, other: Path, step: int) -> None:
  """The states of a step, which is the newest, are the same bits."""
  states = []
  for workdir in (one, other):
    with Checkpoints(workdir, read_only=True) as checkpoints:
      assert checkpoints.steps()[0] == step
      states.append(jax.device_get(checkpoints.arrays(step)))
  assert set(states[0]) >= {"step", "params", "opt_state", "key", "bad_steps"}
  jax.tree.map(_assert_same_bits, *states)


def _assert_same_bits(a: np.ndarray, b: np.ndarray) -> None:
  assert (a.dtype, a.shape) == (b.dtype, b.shape)
  assert a.tobytes() == b.tobytes()


def rows_of(workdir: Path) -> list[dict]:
  """The whole rows of metrics.jsonl so far; a run may be writing the next one."""
  path = workdir / "metrics.jsonl"
  text = path.read_text() if path.exists() else ""
  return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def numbers_of(workdir: Path) -> list[dict]:
  """The same without what depends on timing."""
  return [{k: v for k, v in row.items() if not k.startswith("perf/")} for row in rows_of(workdir)]


def numbers(workdir: Path) -> list[dict]:
  """The same of a whole `Trial`."""
  rows = numbers_of(workdir)
  trained = [row["step"] for row in rows if "loss" in row]
  assert trained == list(range(1, STEPS + 1)), "each step has one row, in order"
  assert sum("collapse/rank_me" in row for row in rows) == STEPS // 10
  return rows

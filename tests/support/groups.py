"""A run of one or several processes as a user starts it, struck in the middle and started again."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import binaries
import simulated
from trials import EVERY, STEPS, rows_of

LAUNCHER = binaries.ROOT / "launch/local.py"
# How a fault of faulty.py says when it happened, on the clock of all processes.
MARK = "fault at "


class Layout(NamedTuple):
  """How a run is divided: "jit" or "pmap", processes, and devices of each."""

  mode: str = "jit"
  processes: int = 1
  devices: int = 1

  def __str__(self) -> str:
    return f"{self.mode} x {self.processes}"


ONE, TWO = Layout(), Layout("jit", 2)
ONE_PMAP, TWO_PMAP = Layout("pmap", 1, 2), Layout("pmap", 2)


class Group:
  """A command of a layout, in a workdir."""

  def __init__(self, workdir: Path, data: Path, layout: Layout, *more: str, steps: int = STEPS):
    self.workdir, self.layout = workdir, layout
    self.running: list[subprocess.Popen] = []
    self.arguments = (
      f"--config={binaries.MAE}",
      f"--workdir={workdir}",
      f"--data_dir={data}",
      f"--config.parallel.mode={layout.mode}",
      f"--config.train.duration.steps={steps}",
      f"--config.train.checkpoint_every={EVERY}",
      "--config.evals.collapse.every=10",
      *binaries.QUICK,
      *more,
    )

  def start(self, *more: str, faults: dict[int, str] | None = None) -> list[subprocess.Popen]:
    """Starts all processes; `faults` by process."""
    about = {"devices": self.layout.devices}
    if self.layout.processes == 1:
      fault = (faults or {}).get(0)
      self.running = [binaries.start("pretrain", *self.arguments, *more, fault=fault, **about)]
    else:
      about |= {"processes": self.layout.processes, "faults": faults}
      self.running = binaries.start_many("pretrain", *self.arguments, *more, **about)
    return self.running

  def finish(self, *, timeout: float = 120) -> list["Ended"]:
    """Waits for all processes, and notes when each ended."""

    def finish(process: subprocess.Popen) -> "Ended":
      ended = binaries.finish(process, timeout=timeout)
      return Ended(*ended, time.monotonic())

    with ThreadPoolExecutor(len(self.running)) as pool:
      return list(pool.map(finish, self.running))

  def to_the_end(self, *more: str) -> list["Ended"]:
    """Starts, and expects a good end."""
    self.start(*more)
    return self._finish_well()

  def wait_for_rows(self, rows: int) -> None:
    """Until there are so many steps in the metrics, by the processes that run."""
    path = self.workdir / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < rows:
      assert all(process.poll() is None for process in self.running), self.finish()
      time.sleep(0.005)

  def is_at(self, step: int) -> bool:
    """Whether the metrics have this step."""
    return any(row["step"] >= step for row in rows_of(self.workdir)[-1:])

  def recover(self, *, reached: int, struck: float) -> float:
    """Starts again, to the end; seconds from the fault until it is further than it was."""
    self.start()
    while not self.is_at(reached + 1):
      assert any(process.poll() is None for process in self.running), self.finish()
      time.sleep(0.005)
    seconds = time.monotonic() - struck
    self._finish_well()
    return seconds

  def _finish_well(self) -> list["Ended"]:
    ended = self.finish()
    assert [e.status for e in ended] == [0] * self.layout.processes, told(ended)
    return ended

  def reached(self) -> int:
    """The last step in the metrics."""
    return max(row["step"] for row in rows_of(self.workdir))

  def kill(self) -> None:
    """Ends what is left of a test that failed."""
    for process in self.running:
      process.kill()

  def lost_steps(self) -> int:
    """What was trained after the newest checkpoint."""
    saved = [int(p.name) for p in (self.workdir / "checkpoints").iterdir() if p.name.isdecimal()]
    return self.reached() - max(saved, default=0)


class Ended(NamedTuple):
  """How a process ended, and when on the monotonic clock."""

  status: int
  out: str
  errors: list[str]
  at: float

  def struck_at(self) -> float:
    """When the fault of this process happened."""
    (line,) = (line for line in self.errors if line.startswith(MARK))
    return float(line.removeprefix(MARK))


def told(ended: list[Ended]) -> str:
  """The last lines of each process; pytest cuts anything but a text short."""
  return "\n".join(f"status {e.status}:\n" + "\n".join(e.errors[-40:]) for e in ended)


def supervised(group: Group, *flags: str) -> subprocess.Popen:
  """A group under launch/local.py."""
  layout = group.layout
  return subprocess.Popen(
    [sys.executable, LAUNCHER, f"--num_processes={layout.processes}", *flags, "--"]
    + [sys.executable, "-m", "pretrainjax.pretrain", *group.arguments],
    env=simulated.environment(layout.devices),
    cwd=binaries.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def children(pid: int, *, having: str = "") -> list[int]:
  """Living processes that a process started, and theirs, whose command holds a text."""
  found = []
  for folder in Path("/proc").iterdir():
    if folder.name.isdecimal() and parent(int(folder.name)) == pid:
      found += [int(folder.name), *children(int(folder.name))]
  return [p for p in found if having in command(p)]


def command(pid: int) -> str:
  """What a process was started with, "" for one that is gone."""
  try:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
  except OSError:
    return ""


def parent(pid: int) -> int:
  """Who started a living process; 0 for one that is gone, or only waits to be reaped."""
  try:
    state, ppid, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
  except (OSError, ValueError):
    return 0
  return 0 if state in "ZX" else int(ppid)


def wait_until_gone(pids: list[int], *, seconds: float) -> float:
  """Waits for processes to end, who may be nobody's children; how long it took."""
  start = time.monotonic()
  while living := [pid for pid in pids if parent(pid)]:
    waited = time.monotonic() - start
    assert waited < seconds, f"still there: {[(pid, command(pid)) for pid in living]}"
    time.sleep(0.02)
  return time.monotonic() - start


def workers_of(pid: int) -> list[int]:
  """All that multiprocessing has started for a trainer."""
  return children(pid, having="multiprocessing")


def workers(pids: list[int]) -> list[int]:
  """Those that load data."""
  return [pid for pid in pids if "spawn_main" in command(pid)]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
  """Sends a signal."""
  os.kill(pid, number)

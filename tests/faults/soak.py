"""Twenty minutes of faults: a run of two processes under the supervisor, struck again and again.

  python tests/faults/soak.py --out=runs/soak --data_dir=data      (`make soak`)

First an undisturbed run, then the same command with a random fault a few seconds after each
recovery, until the time is over; then it may end. States must be the same bits, and metrics the
same numbers. Prints what was done to it, how often, what work was lost, and how long it took until
the run had passed the step where it was struck. Ends with 1 if anything was not survived.
"""

import argparse
import json
import logging
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

import damage  # noqa: E402
import trials  # noqa: E402

CONFIG = ROOT / "configs/pretrain/image/mae_vit_fashion_mnist.py"
EVERY = 50  # steps between checkpoints
RECOVERY = 240.0  # seconds after which a fault was not survived


class Struck(NamedTuple):
  """A fault that the run got over.

  Attributes:
    fault: its name.
    lost_steps: done again.
    seconds: until the step after the fault.
  """

  fault: str
  lost_steps: int
  seconds: float


class Supervised:
  """A run of two processes, started by launch/local.py."""

  def __init__(self, workdir: Path, flags: argparse.Namespace):
    """Starts it."""
    self.workdir = workdir
    self.resumed: list[int] = []  # steps that it went on from
    self.reached: list[int] = []  # the last step of each attempt that ended
    self.log = (workdir.parent / f"{workdir.name}.log").open("w")
    command = [
      sys.executable,
      str(ROOT / "launch/local.py"),
      "--num_processes=2",
      "--max_restarts=1000",
      "--",
      sys.executable,
      "-m",
      "pretrainjax.pretrain",
      f"--config={CONFIG}:smoke",
      f"--workdir={workdir}",
      f"--data_dir={flags.data_dir}",
      "--heartbeat_timeout=10",
      "--stuck_after=60",
      f"--config.train.duration.steps={flags.steps}",
      f"--config.train.checkpoint_every={EVERY}",
      "--config.train.keep.last=3",
      "--config.train.log_every=1",
      "--config.train.tracking.tensorboard=false",
      "--config.evals.collapse.num_examples=64",
      "--config.evals.collapse.every=1000",
    ]
    environment = os.environ | {
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": str(ROOT),
      "PRETRAINJAX_CACHE": str(workdir.parent / "cache"),
    }
    self.process = subprocess.Popen(
      command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    threading.Thread(target=self._read, daemon=True).start()

  def _read(self) -> None:
    for line in self.process.stdout:
      self.log.write(line)
      self.log.flush()
      if "; restart " in line:
        self.reached.append(self.step())
      if "going on from step" in line and line.startswith("[0]"):
        self.resumed.append(int(line.partition("going on from step ")[2].split()[0]))

  def step(self) -> int:
    """The last one in metrics.jsonl; 0 before there is one."""
    path = self.workdir / "metrics.jsonl"
    if not path.exists():
      return 0
    with path.open("rb") as file:  # its end, for it grows long, and is asked for often
      file.seek(max(path.stat().st_size - 4096, 0))
      rows = [row for row in file.read().split(b"\n")[:-1] if row.startswith(b"{")]
    return json.loads(rows[-1])["step"] if rows else 0

  def pids(self) -> list[int]:
    """Of the two processes, in order; fewer while they start or end."""
    path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
    found = {}
    for pid in map(int, path.read_text().split()):
      try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
      except OSError:
        continue
      found |= {word: pid for word in words if word.startswith("--process_id=")}
    return [found[word] for word in sorted(found)]


class Faults:
  """What can happen; each method is one kind, named as the table says it."""

  def __init__(self, run: Supervised, chance: random.Random):
    """Of a run, by a generator."""
    self._run, self._chance = run, chance
    self._steps = run.workdir / "checkpoints"

  def worker_killed(self) -> None:
    os.kill(self._run.pids()[1], signal.SIGKILL)

  def process_0_killed(self) -> None:
    os.kill(self._run.pids()[0], signal.SIGKILL)

  def both_killed(self) -> None:
    for pid in self._run.pids():
      os.kill(pid, signal.SIGKILL)

  def killed_while_saving(self) -> None:
    end = time.monotonic() + 20
    while not list(self._steps.glob("*tmp*")) and time.monotonic() < end:
      time.sleep(0.001)
    self.both_killed()

  def asked_to_stop(self) -> None:
    os.kill(self._chance.choice(self._run.pids()), signal.SIGTERM)

  def paused_for_3_seconds(self) -> None:
    pid = self._chance.choice(self._run.pids())
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)

  def frozen(self) -> None:
    os.kill(self._chance.choice(self._run.pids()), signal.SIGSTOP)

  def newest_step_flipped(self) -> None:
    self._damaged(lambda step: damage.flip(self._any_file(step), self._chance))

  def newest_step_truncated(self) -> None:
    self._damaged(lambda step: damage.truncate(self._any_file(step)))

  def newest_step_half_deleted(self) -> None:
    self._damaged(lambda step: shutil.rmtree(step / self._chance.choice(["state", "meta"])))

  def an_empty_step(self) -> None:
    self._damaged(lambda step: (step.parent / str(int(step.name) + 1)).mkdir())

  def cache_entry_overwritten(self) -> None:
    self.both_killed()
    entries = [p for p in (self._run.workdir.parent / "cache").rglob("*") if p.is_file()]
    self._chance.choice(entries).write_bytes(b"no program")

  def _damaged(self, act) -> None:
    """Power goes, and takes something with it: before the supervisor starts all again."""
    self.both_killed()
    act(max((p for p in self._steps.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)))

  def _any_file(self, step: Path) -> Path:
    return self._chance.choice(
      [p for p in sorted(step.rglob("*")) if p.is_file() and p.stat().st_size]
    )

  def names(self) -> list[str]:
    """Of all kinds."""
    return [n for n, v in vars(Faults).items() if not n.startswith("_") and n != "names" and v]


def strike(run: Supervised, flags: argparse.Namespace) -> Iterator[Struck]:
  """Faults until the time is over or the run is; each one is waited for to be survived."""
  chance = random.Random(flags.seed)
  faults, end = Faults(run, chance), time.monotonic() + 60 * flags.minutes
  kinds: list[str] = []
  while time.monotonic() < end and run.step() < flags.steps - 5 * EVERY:
    kinds = kinds or chance.sample(faults.names(), len(faults.names()))  # each in turn, shuffled
    if not has_passed(run, 2 * EVERY):
      return
    time.sleep(chance.uniform(0.5, 4))
    kind, starts, ends = kinds.pop(), len(run.resumed), len(run.reached)
    getattr(faults, kind)()
    start = time.monotonic()
    if kind != Faults.paused_for_3_seconds.__name__ and not is_true(
      run, lambda ends=ends: len(run.reached) > ends
    ):
      return
    struck_at = run.reached[-1] if len(run.reached) > ends else run.step()
    if not has_passed(run, struck_at):
      return
    resumed = run.resumed[-1] if len(run.resumed) > starts else struck_at
    yield Struck(kind.replace("_", " "), max(struck_at - resumed, 0), time.monotonic() - start)


def has_passed(run: Supervised, step: int) -> bool:
  """Waits until the run is beyond a step; False if it has ended, or does not come there."""
  return is_true(run, lambda: run.step() > step)


def is_true(run: Supervised, happened: Callable[[], bool]) -> bool:
  """Waits for something to happen; False if the run has ended, or it takes too long."""
  end = time.monotonic() + RECOVERY
  while not happened():
    if run.process.poll() is not None or time.monotonic() > end:
      return False
    time.sleep(0.05)
  return True


def table(done: list[Struck]) -> list[str]:
  """Lines of Markdown, a kind a row."""
  lines = [
    "| fault | trials | steps lost, mean (most) | seconds to recover, median (most) |",
    "| --- | ---: | ---: | ---: |",
  ]
  for fault in sorted({struck.fault for struck in done}):
    of_kind = [struck for struck in done if struck.fault == fault]
    lost, seconds = [s.lost_steps for s in of_kind], [s.seconds for s in of_kind]
    lines.append(
      f"| {fault} | {len(of_kind)} | {statistics.mean(lost):.1f} ({max(lost)}) | "
      f"{statistics.median(seconds):.1f} ({max(seconds):.1f}) |"
    )
  return lines


def parse() -> argparse.Namespace:
  """The flags."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, type=Path, help="emptied: workdirs, logs, table")
  parser.add_argument("--data_dir", required=True, type=Path, help="with fashion_mnist in it")
  parser.add_argument("--minutes", type=float, default=20, help="of faults (default 20)")
  parser.add_argument("--steps", type=int, default=10_000, help="of the run (default 10000)")
  parser.add_argument("--seed", type=int, default=0, help="of the faults (default 0)")
  return parser.parse_args()


def main() -> int:
  """Runs both; returns the exit status."""
  flags = parse()
  logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax tells every reader that it is one
  flags.out = flags.out.absolute()
  shutil.rmtree(flags.out, ignore_errors=True)
  flags.out.mkdir(parents=True)
  calm = Supervised(flags.out / "calm", flags)
  if calm.process.wait() != 0:
    print(f"the undisturbed run ended with {calm.process.returncode}: {calm.log.name}")
    return 1
  start = time.monotonic()
  run, done = Supervised(flags.out / "struck", flags), []
  for struck in strike(run, flags):
    done.append(struck)
    (flags.out / "faults.jsonl").open("a").write(json.dumps(struck._asdict()) + "\n")
    spent = (time.monotonic() - start) / 60
    print(
      f"{spent:5.1f} min  step {run.step()}  {struck.fault}, {struck.seconds:.1f} s", flush=True
    )
  status = run.process.wait()
  print("\n".join(["", *table(done)]))
  print(
    f"\n{len(done)} faults in {(time.monotonic() - start) / 60:.1f} minutes, exit status {status}"
  )
  if status != 0:
    print(f"not survived: {run.log.name}")
    return 1
  trials.assert_same_state(calm.workdir, run.workdir, flags.steps)
  assert trials.numbers_of(calm.workdir) == trials.numbers_of(run.workdir)
  print(f"{flags.steps} steps: state and metrics are those of the undisturbed run, bit for bit")
  return 0


if __name__ == "__main__":
  sys.exit(main())

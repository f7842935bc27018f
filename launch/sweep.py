"""Runs a grid of overrides, here or as a SLURM array, and tables a metric of the runs.

  python launch/sweep.py --workdir=runs/sweep --grid=config.optimizer.learning_rate=1e-3,2e-3 \\
    --grid=config.seed=0,1 --at_once=2 -- python -m pretrainjax.pretrain --config=...

Each point of the grid is a run with a workdir of its own below --workdir, named after its values.
The same command goes on where it stopped: finished points are left out, others continue from their
checkpoints. --summary prints the table of what there is. --slurm submits an array instead.
"""

import argparse
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

USER_ERROR, PREEMPTED = 2, 42
DONE = "sweep_done"  # a file in the workdir of a finished run


class Point(NamedTuple):
  """One run: a folder's name, and the flags that make it differ from the others."""

  name: str
  flags: list[str]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  """Reads the flags, and the command after `--`."""
  parser = argparse.ArgumentParser(
    prog="launch/sweep.py", description=__doc__.splitlines()[0], allow_abbrev=False
  )
  add = parser.add_argument
  add("--workdir", required=True, type=Path, metavar="DIR", help="of the sweep")
  add(
    "--grid",
    action="append",
    required=True,
    metavar="FLAG=V1,V2",
    help="values of a flag; a comma inside of brackets belongs to the value",
  )
  add("--at_once", type=int, default=1, metavar="N", help="runs at the same time (default 1)")
  add(
    "--gpus_per_run", type=int, default=0, metavar="G", help="share the GPUs so (default: do not)"
  )
  add("--metric", default="loss", help="of metrics.jsonl, for the table (default: loss)")
  add("--best", choices=("lowest", "highest"), default="lowest", help="what comes first in it")
  add("--summary", action="store_true", help="only print the table")
  add("--slurm", action="store_true", help="submit as an array, --at_once tasks at the same time")
  add("--sbatch", default="", metavar="FLAGS", help="further flags of sbatch, in one argument")
  add("--point", metavar="I", help="become the run of this point (what a task of the array does)")
  add("--dry-run", action="store_true", help="print the commands, start nothing")
  add("command", nargs="+", metavar="-- COMMAND", help="what to run; gets --workdir and overrides")
  flags = parser.parse_args(argv)
  for axis in flags.grid:
    if not re.fullmatch(r"[\w.]+=.+", axis, flags=re.DOTALL):
      parser.error(f"--grid: found '{axis}', expected FLAG=V1,V2, as config.seed=0,1")
  if flags.at_once < 1:
    parser.error(f"--at_once: found {flags.at_once}, expected at least 1")
  known = [str(i) for i in range(len(points(flags)))]
  if flags.point not in (None, *known):
    parser.error(f"--point: found '{flags.point}', expected 0 to {known[-1]}")
  return flags


def split_values(text: str) -> list[str]:
  """Cuts "1,(2,3)" at commas outside of brackets."""
  values, depth = [""], 0
  for letter in text:
    depth += (letter in "([{") - (letter in ")]}")
    if letter == "," and depth == 0:
      values.append("")
    else:
      values[-1] += letter
  return values


def points(flags: argparse.Namespace) -> list[Point]:
  """All of the grid; the last axis changes fastest."""
  axes = [axis.split("=", 1) for axis in flags.grid]
  grid = itertools.product(*(split_values(values) for _, values in axes))
  found = []
  for chosen in grid:
    settings = list(zip((flag for flag, _ in axes), chosen, strict=True))
    name = ",".join(f"{flag.rsplit('.', 1)[-1]}={value}" for flag, value in settings)
    found.append(
      Point(re.sub(r"[^\w.,=+-]", "_", name), [f"--{flag}={value}" for flag, value in settings])
    )
  names = [point.name for point in found]
  if len(set(names)) < len(names):  # keys that end in the same word, or values that look alike
    found = [Point(f"{i:03d},{point.name}", point.flags) for i, point in enumerate(found)]
  return found


def command_of(flags: argparse.Namespace, point: Point) -> list[str]:
  """The arguments of one run."""
  return [*flags.command, f"--workdir={flags.workdir / point.name}", *point.flags]


def array_command(flags: argparse.Namespace) -> list[str]:
  """What submits the grid to SLURM; each task becomes the run of its point."""
  again = [f"--workdir={flags.workdir}", *(f"--grid={axis}" for axis in flags.grid)]
  return [
    "sbatch",
    f"--array=0-{len(points(flags)) - 1}%{flags.at_once}",
    *shlex.split(flags.sbatch),
    "launch/slurm.sbatch",
    "python",
    "launch/sweep.py",
    *again,
    "--point=array",
    "--",
    *flags.command,
  ]


class Queue:
  """Runs points on this machine, so many at once."""

  def __init__(self, flags: argparse.Namespace):
    """Makes a queue of what is not done."""
    self._flags = flags
    self._left = [p for p in points(flags) if not (flags.workdir / p.name / DONE).exists()]
    self._running: dict[int, tuple[Point, subprocess.Popen]] = {}  # by slot
    self._statuses: list[int] = []
    self._stopped = False

  def run(self) -> int:
    """Runs all, and returns 0, or 42 where something is left to do, or the first failure."""
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._stop)
    while self._running or (self._left and not self._stopped):
      for slot in range(self._flags.at_once):
        if slot not in self._running and self._left and not self._stopped:
          self._start(slot, self._left.pop(0))
      for slot, (point, process) in list(self._running.items()):
        if process.poll() is not None:
          self._finish(slot, point, process.returncode)
      time.sleep(0.05)
    failures = [s for s in self._statuses if s not in (0, PREEMPTED)]
    return (failures or [PREEMPTED if self._left or PREEMPTED in self._statuses else 0])[0]

  def _start(self, slot: int, point: Point) -> None:
    folder = self._flags.workdir / point.name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sweep.log").open("ab") as log:
      process = subprocess.Popen(
        command_of(self._flags, point),
        env=os.environ | gpu_variables(self._flags, slot),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C comes to it through us, once
      )
    self._running[slot] = (point, process)
    print(f"started   {point.name}", flush=True)

  def _finish(self, slot: int, point: Point, status: int) -> None:
    del self._running[slot]
    self._statuses.append(status if status >= 0 else 128 - status)
    folder = self._flags.workdir / point.name
    if status == 0:
      (folder / DONE).touch()
    ended = "finished " if status == 0 else f"ended {self._statuses[-1]:3d}"
    print(f"{ended} {point.name}{f': see {folder}/sweep.log' if status else ''}", flush=True)

  def _stop(self, number: int, frame: object) -> None:
    """Lets the running ones save, and starts no more."""
    self._stopped = True
    for _, process in self._running.values():
      if process.poll() is None:
        process.send_signal(signal.SIGTERM)


def gpu_variables(flags: argparse.Namespace, slot: int) -> dict[str, str]:
  """Which GPUs the run in a slot sees."""
  if not flags.gpus_per_run:
    return {}
  first = slot * flags.gpus_per_run
  return {"CUDA_VISIBLE_DEVICES": ",".join(str(first + i) for i in range(flags.gpus_per_run))}


def summary(flags: argparse.Namespace) -> str:
  """A table of the metric's last value in each run, the best one first."""
  rows = []
  for point in points(flags):
    folder = flags.workdir / point.name
    step, value = last_value(folder / "metrics.jsonl", flags.metric)
    state = "done" if (folder / DONE).exists() else "started" if folder.exists() else "to do"
    rows.append((value, step, state, point.name))
  sign = 1 if flags.best == "lowest" else -1
  rows.sort(key=lambda row: (row[0] is None, sign * (row[0] or 0.0)))
  lines = [f"{flags.metric:>12} {'step':>8} {'state':8} point"]
  for value, step, state, name in rows:
    shown = "-" if value is None else f"{value:.6g}"
    lines.append(f"{shown:>12} {'-' if step is None else step:>8} {state:8} {name}")
  return "\n".join(lines)


def last_value(path: Path, metric: str) -> tuple[int | None, float | None]:
  """(step, value) of a metric's last row."""
  found = (None, None)
  for line in path.read_text().splitlines() if path.exists() else ():
    row = json.loads(line)
    if isinstance(row.get(metric), int | float):
      found = (row.get("step"), float(row[metric]))
  return found


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the sweep and returns its exit status."""
  arguments = list(sys.argv[1:] if argv is None else argv)
  # A task of an array learns its number from SLURM, and so does not need it on its command line.
  task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
  flags = parse([f"--point={task}" if a == "--point=array" else a for a in arguments])
  if flags.point is not None:
    command = command_of(flags, points(flags)[int(flags.point)])
    os.execvp(command[0], command)
  commands = (
    [array_command(flags)] if flags.slurm else [command_of(flags, p) for p in points(flags)]
  )
  if flags.dry_run:
    print("\n".join(map(shlex.join, commands)))
    return 0
  if flags.slurm:
    return subprocess.run(commands[0]).returncode
  status = 0 if flags.summary else Queue(flags).run()
  print(summary(flags))
  return status


if __name__ == "__main__":
  sys.exit(main())

"""launch/sweep.py with a tiny command: the grid, the queue, going on, and the table."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dry_run
import pytest

SWEEP = Path(__file__).parents[2] / "launch/sweep.py"
GRID = ("--grid=config.lr=1e-3,2e-3", "--grid=config.seed=0,1")
# A run whose loss is lr * 1000 + seed; it fails where a file "fail" lies beside the workdirs.
RUN = """
import json, pathlib, sys
flags = dict(a.removeprefix("--").split("=", 1) for a in sys.argv[1:])
folder = pathlib.Path(flags["workdir"])
with (folder / "starts").open("a") as f:
  f.write("x")
if (folder.parent / "fail").exists() and flags["config.seed"] == "1":
  sys.exit(42)
loss = float(flags["config.lr"]) * 1000 + float(flags["config.seed"])
rows = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": loss}, {"step": 2, "knn/accuracy": 0.5}]
(folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
"""


def sweep(folder: Path, *flags: str, program: str = RUN) -> subprocess.CompletedProcess:
  """Runs the sweep over the tiny command."""
  return subprocess.run(
    [sys.executable, SWEEP, f"--workdir={folder}", *GRID, *flags]
    + ["--", sys.executable, "-c", program],
    capture_output=True,
    text=True,
    timeout=60,
  )


def starts(folder: Path) -> dict[str, int]:
  """How often each point was started."""
  return {path.parent.name: len(path.read_text()) for path in folder.glob("*/starts")}


def test_all_points_run_and_the_best_comes_first(tmp_path):
  done = sweep(tmp_path, "--at_once=2")
  assert done.returncode == 0, done.stderr
  table = [line.split() for line in done.stdout.splitlines() if " done " in line]
  assert table == [
    ["1", "2", "done", "lr=1e-3,seed=0"],
    ["2", "2", "done", "lr=1e-3,seed=1"],
    ["2", "2", "done", "lr=2e-3,seed=0"],
    ["3", "2", "done", "lr=2e-3,seed=1"],
  ]
  highest = sweep(tmp_path, "--summary", "--best=highest").stdout.splitlines()
  assert highest[1].split()[-1] == "lr=2e-3,seed=1"
  other = sweep(tmp_path, "--summary", "--metric=knn/accuracy").stdout.splitlines()
  assert {line.split()[0] for line in other[1:]} == {"0.5"}


def test_it_goes_on_where_it_stopped(tmp_path):
  (tmp_path / "fail").touch()
  first = sweep(tmp_path)
  assert first.returncode == 42  # preempted ones are left to do
  assert first.stdout.count("ended  42") == 2
  (tmp_path / "fail").unlink()
  assert sweep(tmp_path).returncode == 0
  once, twice = ("lr=1e-3,seed=0", "lr=2e-3,seed=0"), ("lr=1e-3,seed=1", "lr=2e-3,seed=1")
  assert starts(tmp_path) == dict.fromkeys(once, 1) | dict.fromkeys(twice, 2)


def test_a_failure_does_not_stop_the_others(tmp_path):
  done = sweep(tmp_path, program="import sys; sys.exit(3 * ('--config.seed=0' in sys.argv))")
  assert done.returncode == 3
  assert done.stdout.count("finished ") == 2
  assert f"see {tmp_path}/lr=1e-3,seed=0/sweep.log" in done.stdout


def test_sigterm_lets_runs_save_and_starts_no_more(tmp_path):
  program = (
    "import pathlib, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
    f"(pathlib.Path({str(tmp_path)!r}) / 'ready').touch(); time.sleep(60)"
  )
  process = subprocess.Popen(
    [sys.executable, SWEEP, f"--workdir={tmp_path}", *GRID, "--", sys.executable, "-c", program],
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    deadline = time.monotonic() + 20
    while not (tmp_path / "ready").exists():
      assert time.monotonic() < deadline
      time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
  finally:
    process.kill()
  assert process.returncode == 42
  assert output.count("started   ") == 1


def test_a_task_of_an_array_becomes_its_point(tmp_path):
  program = "import json, os, sys; print(json.dumps(sys.argv[1:]))"
  command = [sys.executable, SWEEP, f"--workdir={tmp_path}", *GRID, "--point=array"]
  done = subprocess.run(
    [*command, "--", sys.executable, "-c", program],
    env=os.environ | {"SLURM_ARRAY_TASK_ID": "2"},
    capture_output=True,
    text=True,
  )
  assert json.loads(done.stdout) == [
    f"--workdir={tmp_path}/lr=2e-3,seed=0",
    "--config.lr=2e-3",
    "--config.seed=0",
  ]


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--grid=config.lr"], "--grid: found 'config.lr', expected FLAG=V1,V2"),
    (["--at_once=0"], "--at_once: found 0"),
    (["--point=4"], "--point: found '4', expected 0 to 3"),
    (["--point=array"], "--point: found '', expected 0 to 3"),
  ],
)
def test_mistakes_are_told(tmp_path, flags, message):
  done = sweep(tmp_path, *flags)
  assert done.returncode == 2
  assert message in done.stderr


def test_dry_run(golden):
  flags = [SWEEP, "--workdir=runs/sweep", *GRID, "--grid=config.betas=(0.9,0.95)", "--dry-run"]
  command = ["python", "-m", "pretrainjax.pretrain", "--config=configs/a.py"]
  golden("launch/sweep.txt", dry_run.printed(flags, command))
  slurm = ["--slurm", "--at_once=2", "--sbatch=--gpus-per-node=8 --time=1:00:00"]
  golden("launch/sweep_slurm.txt", dry_run.printed([*flags, *slurm], command))

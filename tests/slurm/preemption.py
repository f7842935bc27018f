"""A run on a real SLURM, preempted, requeued and finished, equals one that nobody disturbed.

  python tests/slurm/preemption.py [--data_dir=data] [--folder=DIR]       (or: make slurm)

Starts a controller and a daemon of its own (cluster.sh), submits `launch/slurm.sbatch` with two
tasks twice, sends one of the jobs SIGTERM in the middle, and compares logs and fingerprints. Exit
status 77 where SLURM is not installed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "tests/slurm/cluster.sh"
CONFIG = "configs/pretrain/image/mae_vit_fashion_mnist.py:smoke"
STEPS = 300


def output_of(*command: str | Path, env: dict[str, str] | None = None) -> str:
  """Runs a command of SLURM's and returns what it prints."""
  return subprocess.run(
    list(map(str, command)), cwd=ROOT, env=env, check=True, capture_output=True, text=True
  ).stdout


def until(true: Callable[[], bool], what: str, *, seconds: float = 600) -> None:
  """Waits, and says what for if it does not come."""
  deadline = time.monotonic() + seconds
  while not true():
    assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
    time.sleep(0.1)


class Job:
  """A submitted run."""

  def __init__(self, folder: Path, name: str, data_dir: Path):
    """Submits it."""
    self.workdir, self.log = folder / name, folder / f"{name}.log"
    self.number = output_of(
      "sbatch",
      "--parsable",
      "--ntasks=2",
      f"--output={self.log}",
      f"--job-name={name}",
      "launch/slurm.sbatch",
      sys.executable,
      "-m",
      "pretrainjax.pretrain",
      f"--config={CONFIG}",
      f"--workdir={self.workdir}",
      f"--data_dir={data_dir}",
      f"--config.train.duration.steps={STEPS}",
      "--config.train.log_every=10",
      "--config.train.tracking.tensorboard=false",
    ).strip()

  def facts(self) -> dict[str, str]:
    """What SLURM knows of it."""
    words = output_of("scontrol", "--oneliner", "show", "job", self.number).split()
    return dict(word.split("=", 1) for word in words if "=" in word)

  def rows(self) -> list[dict[str, Any]]:
    """The log of metrics, without what depends on time."""
    path = self.workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if not k.startswith("perf/")} for row in rows]

  def step(self) -> int:
    """The last one logged; 0 before."""
    return max((row["step"] for row in self.rows()), default=0)

  def fingerprint(self) -> Any:
    """Of each array of the last checkpoint."""
    (meta,) = (self.workdir / "checkpoints" / str(STEPS)).glob("meta/metadata")
    return json.loads(meta.read_text())["fingerprint"]

  def finish(self) -> None:
    """Waits for its end, which must be a good one."""
    ends = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
    until(lambda: self.facts()["JobState"] in ends, f"the end of {self.log}")
    assert self.facts()["JobState"] == "COMPLETED", (
      f"{self.facts()}\n{self.log.read_text()[-3000:]}"
    )


def preempt(job: Job) -> int:
  """Sends SIGTERM in the middle of a run, sees it requeued, and returns the step it had come to."""
  until(lambda: job.step() >= STEPS // 10, f"the first steps of {job.log}")
  output_of("scancel", "--signal=TERM", job.number)
  until(lambda: job.facts()["Restarts"] == "1", f"{job.log} to be requeued")
  reached = max(int(f.name) for f in (job.workdir / "checkpoints").iterdir() if f.name.isdigit())
  assert 0 < reached < STEPS, f"SIGTERM came too late: the run was at {reached} of {STEPS}"
  # SLURM holds what is requeued for two minutes, in case that the node is bad.
  until(lambda: job.facts()["JobState"] == "PENDING", f"{job.log} to wait for its restart")
  time.sleep(10)  # or the restart meets what is left of the first start, and fails at once
  output_of("scontrol", "update", f"JobId={job.number}", "StartTime=now")
  return reached


def check(folder: Path, data_dir: Path) -> None:
  """The test itself."""
  start = time.monotonic()
  undisturbed = Job(folder, "undisturbed", data_dir)
  undisturbed.finish()
  interrupted = Job(folder, "interrupted", data_dir)
  reached = preempt(interrupted)
  print(f"job {interrupted.number}: SIGTERM, saved at step {reached}, requeued", flush=True)
  interrupted.finish()

  log = interrupted.log.read_text()
  assert "preempted and saved: requeued" in log, log[-3000:]
  assert "2 processes" in log, f"the tasks did not find each other: {log[:3000]}"
  assert interrupted.rows() == undisturbed.rows(), f"rows differ: see {folder}"
  assert interrupted.fingerprint() == undisturbed.fingerprint(), f"arrays differ: see {folder}"
  last = undisturbed.rows()[-1]
  print(
    f"both ended at step {STEPS} with the same {len(undisturbed.rows())} rows and the same "
    f"{len(undisturbed.fingerprint())} fingerprints, {last}; {time.monotonic() - start:.0f} s"
  )


def main() -> int:
  """Sets the cluster up, runs the test, takes the cluster down."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
  parser.add_argument("--folder", type=Path, help="for runs and logs, kept (default: a new one)")
  flags = parser.parse_args()
  folder = (flags.folder or Path(tempfile.mkdtemp(prefix="pretrainjax_slurm_"))).resolve()
  try:
    started = subprocess.run([CLUSTER, "up", folder / "cluster"])
    if started.returncode:
      return started.returncode
    os.environ |= {"SLURM_CONF": f"{folder}/cluster/slurm.conf", "JAX_PLATFORMS": "cpu"}
    check(folder, flags.data_dir.resolve())
  finally:
    subprocess.run([CLUSTER, "down", folder / "cluster"])
  if flags.folder is None:
    shutil.rmtree(folder)
  return 0


if __name__ == "__main__":
  sys.exit(main())

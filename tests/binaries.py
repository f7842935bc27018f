"""The binaries as a user starts them: in this process, or in one of their own."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import simulated

ROOT = Path(__file__).parents[1]
MAE = str(ROOT / "configs/pretrain/image/mae_vit_fashion_mnist.py") + ":smoke"
# Leaves out what a test of the engine does not look at.
QUICK = ("--config.train.tracking.tensorboard=false", "--config.evals.collapse.num_examples=64")


class Ended(NamedTuple):
  """How a binary ended."""

  status: int
  out: str
  errors: list[str]


def call(capsys, verb: str, *arguments: str | Path) -> Ended:
  """Runs a binary in this process, and takes back what it sets process-wide."""
  binary = importlib.import_module(f"pretrainjax.{verb}")
  names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
  kept = {name: getattr(jax.config, name) for name in names}
  capsys.readouterr()
  try:
    status = binary.main([str(a) for a in arguments])
  finally:
    for name, value in kept.items():
      jax.config.update(name, value)
  captured = capsys.readouterr()
  return Ended(status, captured.out, captured.err.splitlines())


def start(verb: str, *arguments: str | Path, devices: int = 1) -> subprocess.Popen:
  """Starts a binary as a process with so many simulated devices; its output is piped."""
  return subprocess.Popen(
    [sys.executable, "-m", f"pretrainjax.{verb}", *map(str, arguments)],
    env=simulated.environment(devices),
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process: subprocess.Popen, *, timeout: float = 300) -> Ended:
  """Waits for a process of `start`."""
  try:
    out, errors = process.communicate(timeout=timeout)
  finally:
    process.kill()
  return Ended(process.returncode, out, errors.splitlines())

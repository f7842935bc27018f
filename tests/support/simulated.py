"""Processes with several simulated devices: how many there are is fixed when JAX starts."""

import os
import subprocess
import sys
from pathlib import Path

import jax

ROOT = Path(__file__).parents[2]


def environment(num_devices: int) -> dict[str, str]:
  """This process's environment, with so many CPU devices."""
  paths = [str(ROOT), str(ROOT / "tests/support"), os.environ.get("PYTHONPATH", "")]
  return os.environ | {
    # Compiling for speed would take longer than the run.
    "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices} "
    "--xla_backend_optimization_level=0",
    "NPROC": "16",  # or many devices on few cores wait for each other for ever
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir or ""),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "PYTHONPATH": os.pathsep.join(path for path in paths if path),
  }


def run_on_devices(*arguments: str | Path, num_devices: int = 8, timeout: float = 300) -> str:
  """Runs `python ARGUMENTS` to its end; what it printed.

  Args:
    *arguments: a script and its arguments, or "-c" and a program.
    num_devices: that JAX sees.
    timeout: in seconds.
  """
  done = subprocess.run(
    [sys.executable, *map(str, arguments)],
    env=environment(num_devices),
    capture_output=True,
    text=True,
    timeout=timeout,
  )
  assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
  return done.stdout

import os
import pathlib
import subprocess
import sys

# Compiling for speed would take longer than the run.
FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"


def test_one_device_equals_eight_pmapped_and_eight_sharded():
  """In a process of its own: the number of devices is fixed at first use."""
  script = pathlib.Path(__file__).with_name("on_eight_devices.py")
  changes = {"XLA_FLAGS": FLAGS, "NPROC": "16", "JAX_PLATFORMS": "cpu"}
  changes["PYTHONPATH"] = str(script.parents[2])
  done = subprocess.run(
    [sys.executable, str(script)],
    env=os.environ | changes,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stdout + done.stderr

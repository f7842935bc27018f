import os
import pathlib
import subprocess
import sys


def test_one_device_equals_eight_pmapped_and_eight_sharded():
  """In a process of its own: the number of devices is fixed at first use."""
  flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0", "NPROC": "16"}
  script = pathlib.Path(__file__).with_name("on_eight_devices.py")
  root = str(script.parents[2])
  done = subprocess.run(
    [sys.executable, str(script)],
    env=os.environ | flags | {"PYTHONPATH": root, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stdout + done.stderr

"""Starts that cannot work end with 2, in one line: no such device, no such flag of XLA."""

import os
import subprocess
import sys

import binaries
import jax
import pytest
import simulated

from pretrainjax.errors import UserError
from pretrainjax.process import backend


def test_no_gpu(tmp_path):
  process = subprocess.run(
    [
      *(sys.executable, "-m", "pretrainjax.pretrain", f"--config={binaries.MAE}"),
      f"--workdir={tmp_path / 'run'}",
    ],
    env=simulated.environment(1) | {"JAX_PLATFORMS": "cuda"},
    cwd=binaries.ROOT,
    capture_output=True,
    text=True,
  )
  assert process.returncode == 2, process.stderr
  (line,) = process.stderr.splitlines()
  assert "JAX_PLATFORMS: found cuda, but the devices here are: cpu" in line
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unknown backend: 'foo'")])
def test_devices_that_were_asked_for_are_not_there(error, monkeypatch):
  def fail():
    raise error

  monkeypatch.setattr(jax, "devices", fail)
  monkeypatch.setattr(backend, "_platforms", lambda: {"tpu", "cpu"})
  with pytest.raises(UserError, match="found foo, but the devices here are: cpu, tpu"):
    backend.start({"JAX_PLATFORMS": "foo"})
  with pytest.raises(type(error)):  # a machine's failure, which may pass
    backend.start({})


@pytest.mark.parametrize(
  "flags", ["--xla_foo=1", "--xla_dump_to=/x --xla_foo", " -xla_foo=true", "--xla_foo\n"]
)
def test_a_flag_that_xla_does_not_know(flags):
  with pytest.raises(UserError, match="XLA_FLAGS: found --xla_foo, expected flags that this"):
    backend.check_environment({"XLA_FLAGS": flags})


def test_flags_that_xla_knows():
  for flags in ("", "--xla_dump_to=/x --xla_force_host_platform_device_count=8", "/a/file"):
    backend.check_environment({"XLA_FLAGS": flags})
  backend.check_environment({})
  backend.check_environment(os.environ)

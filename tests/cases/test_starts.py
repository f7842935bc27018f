"""Starts that cannot work end with 2, in one line: no such device, no such flag of XLA."""

import os
import subprocess
import sys

import binaries
import jax
import pytest
import simulated
import synthetic

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
  with pytest.raises(UserError, match="JAX_PLATFORM_NAME: found foo, but the devices here are"):
    backend.start({"JAX_PLATFORM_NAME": "foo"})
  with pytest.raises(type(error)):  # a machine's failure, which may pass
    backend.start({})


def test_a_network_that_no_memory_holds(tmp_path, capsys):
  synthetic.prepare("fashion_mnist", tmp_path)
  places = (f"--data_dir={tmp_path}", f"--workdir={tmp_path / 'run'}")
  width = "--config.objective.backbone.embed_dim=10000000"
  ended = binaries.call(capsys, "pretrain", f"--config={binaries.MAE}", *places, width)
  (line,) = ended.errors
  assert ended.status == 2 and "--config.objective: the parameters need 2,980,243.8 GiB" in line
  assert "with gradient and optimizer, where cpu has " in line
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "flags", ["--xla_foo=1", "--xla_dump_to=/x --xla_foo", " -xla_foo=true", "--xla_foo\n"]
)
def test_a_flag_that_xla_does_not_know(flags):
  with pytest.raises(UserError, match="XLA_FLAGS: found --xla_foo, expected flags that this"):
    backend.check_environment({"XLA_FLAGS": flags})


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ("--xla_cpu_enable_fast_math=maybe", "--xla_cpu_enable_fast_math=maybe, expected bool"),
    ("--xla_backend_optimization_level=2.5", "level=2.5, expected int32"),
    ("--xla_dump_to=/x --xla_force_host_platform_device_count=", "count=, expected int32"),
    ("--nonsense=1", "--nonsense=1, expected flags that this jaxlib's XLA knows"),
    ("-xla_dump_to=/x", "-xla_dump_to=/x, expected flags that this"),
    ("/no/file", "'/no/file', expected flags that begin with --, or a file of them"),
  ],
)
def test_what_xla_cannot_read(flags, message):
  with pytest.raises(UserError, match=f"^XLA_FLAGS: found .*{message}"):
    backend.check_environment({"XLA_FLAGS": flags})


@pytest.mark.parametrize(
  "variable",
  ["JAX_ENABLE_X64=maybe", "JAX_DEFAULT_MATMUL_PRECISION=odd", "JAX_DEFAULT_DEVICE=foo"],
)
@pytest.mark.parametrize("verb", ["finetune", "evaluate"])
def test_a_variable_that_jax_does_not_take(variable, verb, tmp_path):
  name, _, value = variable.partition("=")
  process = subprocess.run(
    [*(sys.executable, "-m", f"pretrainjax.{verb}", f"--workdir={tmp_path / 'run'}")],
    env=simulated.environment(1) | {name: value},
    cwd=binaries.ROOT,
    capture_output=True,
    text=True,
  )
  (line,) = process.stderr.splitlines()
  assert process.returncode == 2 and f"error: {name}: found '{value}', which JAX does not" in line


def test_an_error_that_names_no_variable_is_not_the_environments():
  environ = {"JAX_ENABLE_X64": "1", "HOME": "/x"}
  for text in ("jax_enable_x64x is odd", "home", ""):
    assert backend.mistake_in_environment(ValueError(text), environ) is None


def test_no_device_at_all():
  with pytest.raises(UserError, match="JAX_NUM_CPU_DEVICES: found 0, expected at least 1"):
    backend.check_environment({"JAX_NUM_CPU_DEVICES": "0"})


def test_flags_that_xla_knows(tmp_path):
  (tmp_path / "flags").write_text("--xla_dump_to=/x\n")
  two = "--xla_dump_to=/x --xla_force_host_platform_device_count=8"
  for flags in ("", two, str(tmp_path / "flags")):
    backend.check_environment({"XLA_FLAGS": flags})
  backend.check_environment({})
  backend.check_environment(os.environ)

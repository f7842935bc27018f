"""A wrong key, type or value in a config: told in one line, before any device is touched."""

import subprocess
import sys
import time

import binaries
import pytest
import simulated

# The program says, beside what `pretrain` says, whether JAX has looked for devices.
PROGRAM = """
import sys
from pretrainjax import pretrain
status = pretrain.main(sys.argv[1:])
from jax._src import xla_bridge
sys.exit(90 if xla_bridge.backends_are_initialized() else status)
"""
WRONG = {
  "key": ("--config.optimizer.learning_rat=1", "did you mean 'learning_rate'?"),
  "type": ("--config.data.batch_size=many", "found 'many' (str), expected int"),
  "truth": ("--config.train.checkpoint_every=true", "found 'true' (bool), expected int"),
  "digits": (f"--config.seed={'9' * 5000}", "expected int"),
  "form": ("--config.objective._target=os:system", "has no key '_target'"),
  "lines": ("--config.a\nb=1", r"config has no key 'a\nb'"),
  "colours": ("--config.\x1b[31m=1", r"\x1b[31m"),
  "no text": ("--config.data.batch_size=\udcff", r"\udcff"),
}


def places(tmp_path) -> tuple[str, str]:
  return f"--config={binaries.MAE}", f"--workdir={tmp_path / 'run'}"


def refused(ended: binaries.Ended, part: str) -> None:
  assert ended.status == 2, ended
  assert len(ended.errors) == 1 and part in ended.errors[0] and ended.errors[0].isprintable()


@pytest.mark.parametrize("name", WRONG)
def test_one_line(name, capsys, tmp_path, trial):
  flag, part = WRONG[name]
  start = time.monotonic()
  refused(binaries.call(capsys, "pretrain", *places(tmp_path), flag), part)
  assert not (tmp_path / "run").exists()
  trial(seconds=time.monotonic() - start)


@pytest.mark.parametrize(
  ("flag", "part"),
  [
    ("--config.objective.mask_ratio=1.5", "mask_ratio: found '1.5' (float), expected in (0, 1)"),
    (
      "--config.optimizer.learning_rate=-1",
      "learning_rate: found '-1' (int), expected above 0",
    ),
    ("--config.data.batch_size=0", "data.batch_size: found '0' (int), expected at least 1"),
    ("--config.optimizer.b1=1,2", "found '1,2' (tuple), expected float"),
    ("--config.optimizer.eps=nan", "found 'nan' (str), expected float"),
  ],
)
def test_out_of_range(flag, part, capsys, tmp_path, trial):
  start = time.monotonic()
  refused(binaries.call(capsys, "pretrain", *places(tmp_path), flag), part)
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["key", "type"])
def test_no_device_is_touched(name, tmp_path, trial):
  flag, part = WRONG[name]
  start = time.monotonic()
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM, *places(tmp_path), flag],
    env=simulated.environment(1),
    capture_output=True,
    text=True,
    timeout=60,
  )
  refused(binaries.Ended(done.returncode, done.stdout, done.stderr.splitlines()), part)
  trial(seconds=time.monotonic() - start)

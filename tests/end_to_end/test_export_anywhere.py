"""A step of a run is exported to the same bytes, whoever trained it and whoever exports it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import binaries
import numpy as np
import pytest
import simulated
import synthetic
from trials import rows_of

import pretrainjax as pj
from pretrainjax.checkpoint import manifest
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError

pytestmark = pytest.mark.repeat  # of what tests/test_export.py does in its own process
STEP = 20
KILLED = """
import os, signal, sys
from pretrainjax.export import command, write
def die(*args, **kwargs):
  os.kill(os.getpid(), signal.SIGKILL)
setattr({module}, "{name}", die)
command.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


def arguments(workdir: Path, data: Path, *more: str, steps: int) -> tuple[str, ...]:
  return (
    f"--config={binaries.MAE}",
    f"--workdir={workdir}",
    f"--data_dir={data}",
    f"--config.train.duration.steps={steps}",
    "--config.evals=None",
    *binaries.QUICK[:1],
    *more,
  )


def exported(run: str | Path, out: Path, *, devices: int = 1) -> dict[str, bytes]:
  """All files that a process of so many devices exports."""
  flags = (f"--workdir={run}", f"--out={out}")
  ended = binaries.finish(binaries.start("export", *flags, devices=devices))
  assert ended.status == 0, ended.errors
  return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
  assert manifest.verify(folder)
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def model(files: dict[str, bytes]) -> dict[str, bytes]:
  """Without the card, which tells the layout of the run, and the manifest, which knows the card."""
  return {name: files[name] for name in files.keys() - {"README.md", manifest.NAME}}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
  """The workdir of a run that ended before its first step."""
  workdir = tmp_path_factory.mktemp("runs") / "run"
  ended = binaries.finish(binaries.start("pretrain", *arguments(workdir, data, steps=0)))
  assert ended.status == 0, ended.errors
  return workdir


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
  """The files of its export."""
  return exported(run, tmp_path_factory.mktemp("exports") / "whole")


def test_beside_a_trainer_and_after_its_preemption(data, tmp_path):
  keep = (f"--config.train.checkpoint_every={STEP}", "--config.train.keep.last=100000")
  trainer = binaries.start("pretrain", *arguments(tmp_path / "run", data, *keep, steps=100_000))
  try:
    while not (tmp_path / "run/checkpoints" / str(2 * STEP)).is_dir():
      assert trainer.poll() is None, binaries.finish(trainer)
      time.sleep(0.01)
    before = rows_of(tmp_path / "run")[-1]["step"]
    beside = exported(f"{tmp_path}/run@{STEP}", tmp_path / "beside")
    assert trainer.poll() is None and rows_of(tmp_path / "run")[-1]["step"] > before
    trainer.send_signal(signal.SIGTERM)
    assert binaries.finish(trainer).status == 42
  finally:
    trainer.kill()
  assert exported(f"{tmp_path}/run@{STEP}", tmp_path / "after") == beside
  assert {"config.json", "model.safetensors", "README.md"} < beside.keys()


def test_from_any_layout_onto_any_other(run, whole, data, tmp_path):
  """Before its first step a run's numbers are the same, whatever the devices."""
  eight, two = tmp_path / "eight", tmp_path / "two"
  fsdp = ("--config.parallel.mesh.fsdp=8",)
  started = [
    binaries.start("pretrain", *arguments(eight, data, *fsdp, steps=0), devices=8),
    *binaries.start_many("pretrain", *arguments(two, data, steps=0), processes=2),
  ]
  assert [ended.status for ended in binaries.finish_all(started)] == [0] * 3
  assert exported(run, tmp_path / "on_eight", devices=8) == whole
  for workdir in (eight, two):
    assert model(exported(workdir, tmp_path / f"{workdir.name}_out")) == model(whole)
  kernel = pj.load_params(run, part="encoder")["patch_embed"]["kernel"]
  theirs = TensorFolder(tmp_path / "on_eight")["vit.embeddings.patch_embeddings.projection.weight"]
  np.testing.assert_array_equal(np.sort(theirs.ravel()), np.sort(np.asarray(kernel).ravel()))


def test_two_at_once(run, whole, tmp_path):
  """Into one folder: it is that of one of them, whole."""
  out = tmp_path / "out"
  started = [binaries.start("export", f"--workdir={run}", f"--out={out}") for _ in range(2)]
  ended = sorted(binaries.finish_all(started))
  assert [e.status for e in ended] == [0, 2]
  assert len(ended[1].errors) == 1 and "is there already" in ended[1].errors[0], ended
  assert contents(out) == whole
  assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
  ("module", "name"),
  [
    ("write.manifest", "write"),
    pytest.param("write.safetensors", "write", marks=pytest.mark.slow),
    pytest.param("command", "card", marks=pytest.mark.slow),
  ],
)
def test_a_killed_export_leaves_nothing_that_loads(module, name, run, whole, tmp_path):
  """What stays behind is hidden, and has a config.json only if the model is whole."""
  out = tmp_path / "out"
  program = KILLED.format(module=module, name=name)
  command = [sys.executable, "-c", program, f"--workdir={run}", f"--out={out}"]
  environment = simulated.environment(1)
  assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
  with pytest.raises(UserError, match="no such folder"):
    pj.load(f"hf:{out}")
  (left,) = tmp_path.glob(".out.*.part")
  found = {path.name: path.read_bytes() for path in left.iterdir()}
  assert "config.json" not in found or model(found) == model(whole)
  assert manifest.NAME not in found
  assert exported(run, out) == whole

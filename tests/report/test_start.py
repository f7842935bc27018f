"""What a run says of itself before its first step."""

import dataclasses
from pathlib import Path

import binaries
import jax
import pytest
import synthetic
from ml_collections import ConfigDict

from pretrainjax.config.text import load_config
from pretrainjax.report.start import _count, config_changes, start_text
from pretrainjax.train.assemble import assemble


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder, sizes={"train": 640, "test": 64})
  return folder


def test_six_facts_and_no_change(data):
  config = load_config(binaries.MAE, {"data.data_dir": str(data), "evals": "none"})
  text = start_text(assemble(config), Path("runs/mae"), changes=[])
  kind = jax.devices()[0].device_kind
  assert text.splitlines() == [
    "model      MAE on ViT, 10.8 K parameters (decoder 3.87 K, encoder 6.88 K)",
    "data       fashion_mnist train[:512]: 512 examples, 16 a step",
    "duration   2 steps, 0.0625 epochs",
    f"devices    1 x {kind}, jit on the mesh data=1",
    "precision  float32 parameters, computes in float32",
    "files      runs/mae, a checkpoint every 500 steps",
    "changed    nothing, all values are the config file's",
  ]


def test_changes_are_told_once(data):
  defaults = load_config(binaries.MAE)
  config = load_config(binaries.MAE, {"seed": "3", "objective.mask_ratio": "0.5"})
  for part in (config.data, config.evals.knn.train, config.evals.knn.test):
    part.data_dir = str(data)
  changes = config_changes(defaults, config)
  assert changes == [
    "seed: 0 -> 3",
    "objective.mask_ratio: 0.75 -> 0.5",
    f"data_dir: None -> {data} (in 4 places)",
  ]
  lines = start_text(assemble(config), Path("w"), changes=changes).splitlines()
  assert lines[-3:] == [
    f"changed    {changes[0]}",
    f"           {changes[1]}",
    f"           {changes[2]}",
  ]


def test_a_part_that_is_switched_off_is_one_line():
  defaults, config = load_config(binaries.MAE), load_config(binaries.MAE, {"evals": "none"})
  assert config_changes(defaults, config) == ["evals: {...} -> None"]
  assert config_changes(config, config) == []


def test_a_mixture_is_named_by_its_parts(data):
  config = load_config(binaries.MAE, {"data.data_dir": str(data), "evals": "none"})
  run = assemble(config)
  with run.config.ignore_type():
    run.config.data.datasets = ConfigDict({"pets": 2.0, "birds": 1.0})
  assert "data       birds + pets train[:512]: 512 examples" in start_text(
    run, Path("w"), changes=[]
  )


def test_evaluators_that_cannot_run_are_told(data):
  config = load_config(binaries.MAE, {"data.data_dir": str(data), "evals": "none"})
  reason = "config.evals.knn.train has no labels"
  run = dataclasses.replace(assemble(config), left_out={"knn": reason, "probe": "neither has it"})
  lines = start_text(run, Path("w"), changes=[]).splitlines()
  assert lines[2:4] == [f"left out   knn: {reason}", "           probe: neither has it"]


@pytest.mark.parametrize(
  ("number", "text"), [(12, "12"), (451_000, "451 K"), (86_567_656, "86.6 M"), (1.24e9, "1.24 B")]
)
def test_counts_are_short(number, text):
  assert _count(int(number)) == text


@pytest.mark.repeat
def test_verbose_prints_all_values(capsys, tmp_path, data):
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path / 'run'}", f"--data_dir={data}")
  quick = (*binaries.QUICK, "--config.evals.collapse.num_examples=32")
  short = binaries.call(capsys, "pretrain", *places, *quick)
  assert short.status == 0 and "Optimizer(" not in short.out
  assert "model      MAE on ViT, " in short.out
  assert "evals.collapse.num_examples: 1024 -> 32" in short.out
  whole = binaries.call(capsys, "pretrain", *places, *quick, "--verbose")
  assert whole.status == 0 and "Optimizer(learning_rate=" in whole.out
  assert "model      MAE on ViT, " in whole.out

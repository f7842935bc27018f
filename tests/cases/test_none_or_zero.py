"""A part of a config that is None is switched off, or refused in one line; no steps are a run."""

import binaries
import pytest
import synthetic

from pretrainjax.config.text import load_config
from pretrainjax.errors import UserError
from pretrainjax.train.assemble import assemble


@pytest.fixture(scope="module")
def places(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return (f"--config={binaries.MAE}", f"--data_dir={folder}", *binaries.QUICK[:1])


def make(**overrides):
  keys = {key.replace("__", "."): value for key, value in overrides.items()}
  return assemble(load_config(binaries.MAE, keys), num_examples=1000)


@pytest.mark.repeat
def test_an_evaluation_is_left_out_by_a_flag(places, tmp_path, capsys):
  flags = (f"--workdir={tmp_path}", "--config.evals.knn=None")
  ended = binaries.call(capsys, "pretrain", *places, *flags)
  assert ended.status == 0, ended.errors
  assert "| collapse " in ended.out and "| knn " not in ended.out


@pytest.mark.repeat
def test_a_run_of_no_steps_is_a_checkpoint_or_refused(places, tmp_path, capsys):
  flags = (f"--workdir={tmp_path}", "--config.train.duration.steps=0")
  for _ in range(2):
    ended = binaries.call(capsys, "pretrain", *places, *flags)
    assert ended.status in (0, 2), ended.errors
    assert (ended.status == 2) or (tmp_path / "checkpoints" / "0").is_dir()
    assert "| knn " in ended.out, "the same table again"


def test_evaluators_are_switched_off_one_by_one_and_all():
  assert set(make(evals__knn="None").evaluators) == {"collapse"}
  assert not make(evals__knn="none", evals__collapse="None").evaluators
  assert not make(evals="None").evaluators


def test_other_parts_are_switched_off_too():
  train = make(train__tracking="None", train__spikes="None", train__keep="None").train
  assert train.spikes.action == "off" and not train.tracking.tensorboard
  assert train.keep.last > 10**9 and train.keep.metric is None
  assert make(parallel="None").parallel.mode == "jit"
  assert make(optimizer__schedule="None").total_steps == 2


@pytest.mark.parametrize("key", ["seed", "objective", "data", "optimizer", "train"])
def test_what_every_run_needs_is_refused_in_one_line(key):
  with pytest.raises(UserError, match=f"--config.{key}: found None"):
    make(**{key: "None"})


@pytest.mark.parametrize(
  ("key", "said"),
  [
    ("objective.backbone", r"what it follows \(config.objective.backbone.grid\)"),
    ("data.transform", "config.data.transform: found None, expected"),
    ("train.duration", "config.train.duration: found None, expected"),
    ("parallel.mesh", "config.parallel.mesh: found None, expected"),
    ("train.log_every", "config.train.log_every: found 'None' .*, expected int"),
  ],
)
def test_what_a_part_needs_is_refused_in_one_line(places, key, said):
  folder = places[1].partition("=")[2]
  with pytest.raises(UserError, match=said):
    make(**{"data.data_dir": folder, key.replace(".", "__"): "None"})


@pytest.mark.repeat
def test_evaluate_with_nothing_to_run_is_refused(places, tmp_path, capsys):
  flags = (f"--workdir={tmp_path}", "--config.evals=None", "--config.train.duration.steps=0")
  assert binaries.call(capsys, "pretrain", *places, *flags).status == 0
  config = str(binaries.ROOT / "configs/evaluate/image/fashion_mnist.py") + ":smoke"
  named = (f"--config={config}", f"--workdir={tmp_path}", places[1])
  ended = binaries.call(capsys, "evaluate", *named, "--config.evals=None")
  assert ended.status == 2 and ended.errors == [
    "evaluate: error: --config.evals: found no evaluator that can run, expected at least one"
  ]

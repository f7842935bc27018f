"""One's own data from flags alone: what does not fit is one line, what follows is not typed."""

import json

import binaries
import numpy as np
import pytest
import synthetic
import tiny_datasets

from pretrainjax.prepare.image.example import array_corpus

QUICK = ("--config.train.tracking.tensorboard=false",)
TUNE = f"--config={binaries.ROOT}/configs/finetune/image/vit_fashion_mnist.py:smoke"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  base = tmp_path_factory.mktemp("data")
  sizes = {"train": 512, "test": 64}
  synthetic.prepare("fashion_mnist", base, sizes=sizes)
  rng = np.random.default_rng(0)
  for name, side, channels in (("colour", 28, 3), ("colour32", 32, 3), ("grey", 28, 1)):
    splits = {
      split: (rng.integers(0, 256, (count, side, side, channels), np.uint8), np.arange(count) % 2)
      for split, count in {"train": 512, "test": 64}.items()
    }
    corpus = array_corpus(splits, class_names=("cat", "dog"), origin="noise")
    tiny_datasets.write_corpus(name, base, corpus)
  return base


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
  """A run of two steps of MAE on images of 28 x 28 pixels in grey."""
  workdir = tmp_path_factory.mktemp("runs") / "mae"
  ended = binaries.finish(
    binaries.start(
      "pretrain",
      f"--config={binaries.MAE}",
      f"--workdir={workdir}",
      f"--data_dir={data_dir}",
      *binaries.QUICK,
    )
  )
  assert ended.status == 0, ended.errors
  return workdir


def pretrain(capsys, data_dir, workdir, *flags):
  common = (f"--config={binaries.MAE}", f"--workdir={workdir}", f"--data_dir={data_dir}")
  return binaries.call(capsys, "pretrain", *common, *binaries.QUICK, *flags)


def finetune(capsys, data_dir, workdir, *flags):
  common = (TUNE, f"--workdir={workdir}", f"--data_dir={data_dir}")
  return binaries.call(capsys, "finetune", *common, *QUICK, *flags)


def stored(workdir):
  return json.loads((workdir / "config.json").read_text())


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    (
      ("--datasets=colour", "--config.data.split=train"),
      "config.objective.backbone.num_channels: found 1, expected 3",
    ),
    (
      ("--config.objective.backbone.num_channels=3",),
      "config.objective.backbone.num_channels: found 3, expected 1",
    ),
    (
      ("--config.data.transform.size=24",),
      "config.data.transform.size: found 24, expected 28, as config.objective.backbone.image_size",
    ),
    (
      ("--config.objective.decoder.grid=(6,6)",),
      "config.objective.decoder.grid: found (6, 6), expected (7, 7)",
    ),
    (("--config.objective.backbone.image_size=30",), "patch_size=4: expected a divisor of"),
  ],
)
def test_images_of_another_shape_are_one_line(flags, said, data_dir, tmp_path, capsys):
  ended = pretrain(capsys, data_dir, tmp_path / "w", *flags)
  assert ended.status == 2 and len(ended.errors) == 1, ended.errors
  assert said in ended.errors[0]
  assert not (tmp_path / "w").exists(), "nothing was begun"


def test_own_classes_are_taken_from_the_data(trained, data_dir, tmp_path, capsys):
  flags = ("--datasets=grey", f"--config.init={trained}")
  ended = finetune(capsys, data_dir, tmp_path, *flags)
  assert ended.status == 0, ended.errors
  objective = stored(tmp_path)["objective"]
  assert objective["num_classes"] == objective["head"]["num_classes"] == 2
  assert "filled in" in ended.out and "num_classes" in ended.out


def test_classes_that_are_typed_and_wrong_are_named_with_the_data(
  trained, data_dir, tmp_path, capsys
):
  flags = ("--datasets=grey", "--config.objective.num_classes=3", f"--config.init={trained}")
  ended = finetune(capsys, data_dir, tmp_path, *flags)
  assert ended.status == 2
  assert "config.objective.num_classes: found 3, expected 2" in ended.errors[-1]
  assert "config.data.datasets=grey" in ended.errors[-1]


@pytest.mark.parametrize("key", ["image_size=56", "embed_dim=32", "drop_path=0.3"])
def test_a_flag_that_the_checkpoint_would_overrule_is_refused(
  key, trained, data_dir, tmp_path, capsys
):
  flags = (f"--config.init={trained}", f"--config.objective.backbone.{key}")
  ended = finetune(capsys, data_dir, tmp_path / "w", *flags)
  assert ended.status == 2 and f"--config.changes.{key}" in ended.errors[-1]
  assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("size", [(), ("--config.data.transform.size=56",)])
def test_the_resolution_may_be_changed(size, trained, data_dir, tmp_path, capsys):
  flags = (f"--config.init={trained}", "--config.changes.image_size=56", *size)
  ended = finetune(capsys, data_dir, tmp_path, *flags)
  assert ended.status == 0, ended.errors
  config = stored(tmp_path)
  assert config["objective"]["backbone"]["image_size"] == 56
  assert config["data"]["transform"]["size"] == 56
  assert config["evals"]["accuracy"]["data"]["transform"]["size"] == 56


def test_another_resolution_than_the_checkpoints_is_refused(trained, data_dir, tmp_path, capsys):
  flags = (f"--config.init={trained}", "--config.data.transform.size=56")
  ended = finetune(capsys, data_dir, tmp_path, *flags)
  assert ended.status == 2
  assert "transform.size: found 56, expected 28, as config.objective.backbone" in ended.errors[-1]

"""One's own data from flags alone: what does not fit is one line, what follows is not typed."""

import json

import binaries
import cv2
import numpy as np
import pytest
import synthetic
import tiny_datasets

from pretrainjax.prepare.image.example import array_corpus
from pretrainjax.pretrain import main

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
  places = (f"--config={binaries.MAE}", f"--workdir={workdir}", f"--data_dir={data_dir}")
  assert main([*places, *binaries.QUICK]) == 0
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


def test_a_checkpoint_of_images_of_another_shape_is_one_line(trained, data_dir, tmp_path, capsys):
  ended = finetune(
    capsys, data_dir, tmp_path / "w", "--datasets=colour", f"--config.init={trained}"
  )
  assert ended.status == 2 and len(ended.errors) == 1, ended.errors
  assert "num_channels: found 1, expected 3" in ended.errors[0]
  assert not (tmp_path / "w").exists(), "nothing was begun"


@pytest.mark.repeat
def test_an_evaluation_of_images_of_another_shape_is_one_line(trained, data_dir, tmp_path, capsys):
  config = f"--config={binaries.ROOT}/configs/evaluate/image/fashion_mnist.py:smoke"
  places = (f"--workdir={trained}", f"--data_dir={data_dir}", f"--out={tmp_path}")
  ended = binaries.call(capsys, "evaluate", config, *places, "--datasets=colour")
  assert ended.status == 2 and len(ended.errors) == 1, ended.errors
  assert "num_channels" in ended.errors[0] or "(28, 28, 1)" in ended.errors[0]


@pytest.mark.repeat
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


@pytest.mark.repeat
@pytest.mark.parametrize("size", [(), ("--config.data.transform.size=56",)])
def test_the_resolution_may_be_changed(size, trained, data_dir, tmp_path, capsys):
  flags = (f"--config.init={trained}", "--config.changes.image_size=56", *size)
  ended = finetune(capsys, data_dir, tmp_path, *flags)
  assert ended.status == 0, ended.errors
  config = stored(tmp_path)
  assert config["objective"]["backbone"]["image_size"] == 56
  assert config["data"]["transform"]["size"] == 56
  for name in ("validation", "test"):
    assert config["evals"][name]["data"]["transform"]["size"] == 56


def test_another_resolution_than_the_checkpoints_is_refused(trained, data_dir, tmp_path, capsys):
  flags = (f"--config.init={trained}", "--config.data.transform.size=56")
  ended = finetune(capsys, data_dir, tmp_path, *flags)
  assert ended.status == 2
  assert "transform.size: found 56, expected 28, as config.objective.backbone" in ended.errors[-1]


def photos(folder, *, labelled, side=32):
  """A folder of 40 colour JPEGs, in two classes or in none."""
  rng = np.random.default_rng(0)
  for number in range(40):
    name = f"{'cat' if number % 2 else 'dog'}/{number}.jpg" if labelled else f"{number}.jpg"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), rng.integers(0, 256, (side, side, 3), np.uint8))
  return folder


@pytest.mark.repeat
def test_a_folder_of_jpegs_needs_no_more_than_its_name(tmp_path, capsys):
  """Pretrained, fine-tuned and evaluated: sizes, channels, mean and classes are those of it."""
  sets, runs = tmp_path / "data", tmp_path / "runs"
  source = f"--source={photos(tmp_path / 'photos', labelled=True)}"
  common = ("--datasets=pets", f"--data_dir={sets}", *QUICK)
  prepared = binaries.call(
    capsys, "prepare", "image_folder", source, "--name=pets", f"--data_dir={sets}"
  )
  assert prepared.status == 0, prepared.errors
  for verb, config, *more in (
    ("pretrain", "mae_vit_images"),
    ("finetune", "vit_images", f"--config.init={runs / 'mae_vit_images'}"),
  ):
    flags = (f"--config={config}:smoke", f"--workdir={runs / config}", *common, *more)
    ended = binaries.call(capsys, verb, *flags)
    assert ended.status == 0, ended.errors
  backbone = stored(runs / "mae_vit_images")["objective"]["backbone"]
  noted = json.loads((sets / "pets/1.0.0/prepared.json").read_text())["pixel_statistics"]
  assert (backbone["image_size"], backbone["num_channels"]) == (32, 3)
  assert backbone["image_mean"]["_tuple"] == noted["mean"]
  assert backbone["image_std"]["_tuple"] == noted["std"]
  tuned = stored(runs / "vit_images")
  assert tuned["objective"]["num_classes"] == 2 and tuned["data"]["transform"]["size"] == 32
  measured = binaries.call(
    capsys,
    "evaluate",
    "--config=images_classifier",
    f"--workdir={runs / 'vit_images'}",
    *common[:2],
    "--no_random_init",
  )
  assert measured.status == 0 and "accuracy" in measured.out, measured.errors


def test_photos_of_several_sizes_need_one_more_word(tmp_path, capsys):
  sets = tmp_path / "data"
  for name, side in (("small", 24), ("large", 40)):
    photos(tmp_path / "photos" / name, labelled=False, side=side)
  binaries.call(
    capsys,
    "prepare",
    "image_folder",
    f"--source={tmp_path / 'photos'}",
    "--name=pets",
    "--config.source.labels=none",
    f"--data_dir={sets}",
  )
  flags = ("--config=mae_vit_images:smoke", "--datasets=pets", f"--data_dir={sets}", *QUICK)
  ended = binaries.call(capsys, "pretrain", *flags, f"--workdir={tmp_path / 'w'}")
  assert ended.status == 2
  assert "not squares of one size, but 24 x 24 to 40 x 40" in ended.errors[-1]
  assert "--config.data.transform.size=VALUE" in ended.errors[-1]

"""Data of evaluations is opened before the first step: refused, or left out in one line."""

import binaries
import numpy as np
import pytest
import synthetic
import tiny_datasets

from pretrainjax.prepare.image.example import Image, png

GPT = str(binaries.ROOT / "configs/pretrain/text/gpt_sotu.py") + ":smoke"
QUIET = "--config.train.tracking.tensorboard=false"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """A corpus without a validation split, and images without labels."""
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("sotu", folder, sizes={"train": 64})
  noise = np.random.default_rng(0).integers(0, 256, (340, 28, 28, 1), np.uint8)
  images = [
    Image(f"train/{i:03d}", png(picture), None, "train", (28, 28, 1), digest=None)
    for i, picture in enumerate(noise)
  ]
  tiny_datasets.write("unlabelled", folder, images)
  return folder


@pytest.mark.parametrize(
  ("flags", "found"),
  [
    ((), "'validation[:16]' is no split of sotu"),
    (("--config.evals.held_out.data.split=train[:0]",), "holds no example"),
    (("--config.evals.held_out.data.datasets=elsewhere",), "'elsewhere'"),
  ],
  ids=["missing", "empty", "not prepared"],
)
def test_what_is_not_there_is_told_before_the_first_step(flags, found, data, tmp_path, capsys):
  places = (f"--config={GPT}", f"--data_dir={data}", f"--workdir={tmp_path / 'run'}")
  ended = binaries.call(capsys, "pretrain", *places, *flags)
  (line,) = ended.errors
  assert ended.status == 2 and found in line
  assert line.startswith("pretrain: error: --config.evals.held_out.data."), "the path at hand"
  assert not (tmp_path / "run").exists(), "nothing was begun"


@pytest.mark.repeat
def test_switched_off_it_is_not_asked_for(data, tmp_path, capsys):
  places = (f"--config={GPT}", f"--data_dir={data}", f"--workdir={tmp_path / 'run'}")
  ended = binaries.call(capsys, "pretrain", *places, QUIET, "--config.evals.held_out=None")
  assert ended.status == 0, ended.errors
  assert "| training  | loss   | train" in ended.out


@pytest.mark.repeat
def test_unlabelled_images_are_pretrained_on(data, tmp_path, capsys):
  """A kNN cannot run, and says so once; whether features collapse is measured all the same."""
  ended = binaries.call(
    capsys,
    "pretrain",
    f"--config={binaries.MAE}",
    "--datasets=unlabelled",
    "--config.data.split=train",
    f"--data_dir={data}",
    f"--workdir={tmp_path / 'run'}",
    QUIET,
  )
  assert ended.status == 0, ended.errors
  assert "left out   knn: config.evals.knn.train has no labels" in ended.out
  table = [line for line in ended.out.splitlines() if line.startswith("| collapse")]
  assert len(table) == 3 and "| rank_me       | train[256:320] |" in table[1]
  assert (tmp_path / "run" / "checkpoints" / "2").is_dir()

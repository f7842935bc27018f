"""The main job in small: pretrain, fine-tune, evaluate, and load the result in research code."""

import json
import math

import binaries
import jax
import numpy as np
import pytest
import synthetic

import pretrainjax as pj

CONFIGS = binaries.ROOT / "configs"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


def run(capsys, verb, config, data, workdir, *flags):
  ended = binaries.call(
    capsys,
    verb,
    f"--config={CONFIGS / config}:smoke",
    f"--data_dir={data}",
    f"--workdir={workdir}",
    *flags,
  )
  assert ended.status == 0, ended.errors
  return ended.out


def results(workdir):
  lines = (workdir / "evaluation" / "results.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def features(workdir):
  """As research code would have them, jitted."""
  encoder = pj.load_encoder(workdir)
  return jax.jit(lambda images: encoder(images).pooled)(np.zeros((2, 28, 28, 1), np.uint8))


def test_from_images_to_numbers(capsys, data, tmp_path):
  pretrained, finetuned = tmp_path / "pretrained", tmp_path / "finetuned"
  run(capsys, "pretrain", "pretrain/image/mae_vit_fashion_mnist.py", data, pretrained)
  assert (pretrained / "curves.png").is_file()
  other = tmp_path / "other"  # under the same name
  synthetic.prepare("fashion_mnist", other, sizes=synthetic.SIZES | {"test": 65})
  place = (f"--data_dir={other}", f"--workdir={pretrained}")
  ended = binaries.call(capsys, "pretrain", f"--config={binaries.MAE}", *place)
  assert ended.status == 2 and "'fashion_mnist' has 65 test + 512 train" in ended.errors[-1]
  out = run(
    capsys,
    "finetune",
    "finetune/image/vit_fashion_mnist.py",
    data,
    finetuned,
    f"--config.init={pretrained}@2",
  )
  (line,) = [line for line in out.splitlines() if line.startswith("init from")]
  assert "step 2: loaded " in line and "new: pool_norm/bias, pool_norm/scale" in line
  assert "left behind: norm/bias, norm/scale" in line
  out = run(capsys, "evaluate", "evaluate/image/fashion_mnist.py", data, pretrained)
  assert "linear_probe" in out and "random init" in out
  run(
    capsys,
    "evaluate",
    "evaluate/image/fashion_mnist_classifier.py",
    data,
    finetuned,
    "--no_random_init",
  )
  assert list((finetuned / "evaluation").glob("confusion_*_2.png"))
  for workdir in (pretrained, finetuned):
    rows = results(workdir)
    assert rows and all(math.isfinite(row["value"]) for row in rows)
    assert {row["step"] for row in rows if row["encoder"] == "trained"} == {2}
    assert all(row["protocol"] for row in rows)
  assert {row["encoder"] for row in results(pretrained)} == {"trained", "random-init"}
  assert {row["encoder"] for row in results(finetuned)} == {"trained"}

  before, after = features(pretrained), features(finetuned)
  assert before.shape == after.shape == (2, 16)
  assert np.abs(before - after).max() > 0


@pytest.mark.repeat
def test_what_does_not_fit_is_refused(capsys, data, tmp_path):
  run(capsys, "pretrain", "pretrain/image/mae_vit_fashion_mnist.py", data, tmp_path / "a")
  config = f"--config={CONFIGS / 'finetune/image/vit_fashion_mnist.py'}:smoke"
  places = (config, f"--data_dir={data}", f"--config.init={tmp_path / 'a'}")
  for flag, part in (
    ("--config.transfer.fresh=()", "pool_norm/bias: wanted, not saved"),
    ("--config.transfer.unused=()", "norm/bias: saved, not wanted"),
    ("--config.changes.drop_pth=0.5", "did you mean 'drop_path'?"),
  ):
    ended = binaries.call(capsys, "finetune", *places, f"--workdir={tmp_path / 'b'}", flag)
    assert ended.status == 2 and len(ended.errors) == 1, ended
    assert part in ended.errors[0]

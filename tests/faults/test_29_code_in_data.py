"""Pickles in .npz, and code that a dataset, a tokenizer or a checkpoint's config names.

Nothing of it is run: arrays are read without pickle, configs build only what they may, and a
dataset's features.json imports nothing.
"""

import argparse
import json
import os
import sys
import time

import binaries
import numpy as np
import pytest
import synthetic
from fake_texts import TinyText, word_tokenizer
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax import load_encoder
from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import embed


class Evil:
  """What a pickle can do when it is read: here it makes a folder."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (str(self.path),)


def test_parts_of_features(tmp_path, monkeypatch, trial):
  """`predict embed` reads back what it left in OUT.parts."""
  mark, out = tmp_path / "mark", tmp_path / "x.npy"
  (tmp_path / "texts.txt").write_text("alpha beta\n")
  (tmp_path / "tokenizer.json").write_text(word_tokenizer("alpha beta").text)
  module = Towers(encoder=TinyText(rngs=nnx.Rngs(0)))
  loaded = Loaded(
    config=ConfigDict(), objective=Objective(), module=module, step=3, workdir=tmp_path
  )
  parser = argparse.ArgumentParser()
  embed.add_flags(parser)
  flags = parser.parse_args([f"--input={tmp_path}/texts.txt", f"--out={out}"])

  def run():
    embed.work(Request(ConfigDict(), tmp_path, flags), loaded)

  with monkeypatch.context() as patch:  # stopped before its first part
    patch.setattr(embed, "_write_part", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      run()
  part = tmp_path / "x.npy.parts" / "000000.npz"
  fine = np.zeros((1, 8), np.float32)
  evil = np.array([Evil(mark)], object)
  for arrays in (
    {"features": evil, "num_cut": 0},
    {"features": fine, "num_cut": evil},
    {"features": fine[:, :4], "num_cut": 0},  # would be broadcast
    {"features": fine * np.nan, "num_cut": 0},
    {"features": fine},
  ):
    start = time.monotonic()
    np.savez(part, **arrays)
    with pytest.raises(UserError, match="part .* is damaged"):
      run()
    trial(seconds=time.monotonic() - start)
  np.savez_compressed(part, features=np.zeros((1 << 20, 8), np.float32), num_cut=0)
  with pytest.raises(UserError, match="unpacks to more than it holds"):
    run()
  part.write_bytes(part.read_bytes()[:100])
  with pytest.raises(UserError, match="part .* is damaged"):
    run()
  assert not mark.exists() and not out.exists()
  part.unlink()
  run()
  assert np.load(out).shape == (1, 8)


@pytest.fixture
def evil_module(tmp_path, monkeypatch):
  """A module that can be imported here, and leaves a mark when it is."""
  mark = tmp_path / "mark"
  (tmp_path / "pretrainjax_evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass X:\n  pass\n")
  monkeypatch.syspath_prepend(tmp_path)
  return mark


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
def test_a_dataset_that_names_a_module(key, tmp_path, evil_module, capsys, trial):
  synthetic.prepare("fashion_mnist", tmp_path / "data", sizes={"train": 4})
  path = next((tmp_path / "data").glob("*/*/features.json"))
  features = json.loads(path.read_text())
  image = features["featuresDict"]["features"]["image"]
  del image["pythonClassName"]
  image[key] = "pretrainjax_evil.X"
  path.write_text(json.dumps(features))
  start = time.monotonic()
  place = (f"--config={binaries.MAE}", f"--workdir={tmp_path / 'w'}", f"--data_dir={tmp_path}/data")
  ended = binaries.call(capsys, "pretrain", *place)
  assert ended.status == 2 and "names the class 'pretrainjax_evil.X'" in ended.errors[-1]
  ended = binaries.call(
    capsys,
    "prepare",
    "text",
    "--config.source.dataset=fashion_mnist",
    "--name=texts",
    f"--data_dir={tmp_path / 'data'}",
  )
  assert ended.status == 2 and "names the class 'pretrainjax_evil.X'" in ended.errors[-1]
  assert not evil_module.exists()
  trial(seconds=time.monotonic() - start)


def file_config(path) -> dict:
  return {"_target": "pretrainjax.config.text:load_config", "reference": str(path)}


CONFIGS = {
  "module": lambda path: {"_target": "pretrainjax_evil:X"},
  "system": lambda path: {"_target": "os:system", "command": "true"},
  "config file": file_config,
  "nested": lambda path: {"_target": "pretrainjax.models.vit:ViT", "pool": file_config(path)},
  "program": lambda path: {
    "_target": "pretrainjax.prepare.files.places:run",
    "command": ("touch", str(path)),
    "folder": "/tmp",
  },
  "a test of optax, which changes the process": lambda path: {
    "_target": "optax._src.sharding_test:ShardingTest"
  },
  "Python's own, as if of a package": lambda path: {"_target": "mylab.os:system", "command": "x"},
  "no objective": lambda path: {"_target": "optax:identity"},
  "nothing": lambda path: {},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_whose_config_names_code(name, tmp_path, evil_module, trial):
  state = {"params": {"kernel": np.zeros(3, np.float32)}, "step": np.int32(1)}
  config = ConfigDict({"objective": CONFIGS[name](tmp_path / "pretrainjax_evil.py")})
  with Checkpoints(tmp_path / "run") as checkpoints:
    checkpoints.save(1, state, config=config)
  start = time.monotonic()
  # Another package than the one that is allowed stays out.
  for allow in ((), ("mylab", "pretrainjax")):
    with pytest.raises(UserError) as refusal:
      load_encoder(tmp_path / "run", allow=allow)
    assert str(refusal.value).isprintable()
  assert "optax._src.sharding_test" not in sys.modules
  assert not evil_module.exists()
  trial(seconds=time.monotonic() - start)

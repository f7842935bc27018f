"""An unknown name of a dataset, a model or a file: the valid ones are told."""

import time

import binaries
import pytest
from ml_collections import ConfigDict

from pretrainjax import command
from pretrainjax.config import build, recipe
from pretrainjax.errors import UserError
from pretrainjax.models.mlp import MLP

UNKNOWN = {
  "dataset": ("pretrain", ("--datasets=fashion_mnst",), "did you mean 'fashion_mnist'?"),
  "no dataset at all": (
    "pretrain",
    ("--datasets=\u65e5\u672c",),
    "valid: asterisk, cifar10,",
  ),
  "split": ("pretrain", ("--config.data.split=trian",), "did you mean 'train'?"),
  "optimizer": ("pretrain", ("--config.optimizer.name=adamx",), "did you mean 'adamw'?"),
  "long name": ("pretrain", (f"--datasets={'x' * 5000}",), "(File name too long)"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_names_in_a_config(name, capsys, tmp_path, data, trial):
  verb, flags, part = UNKNOWN[name]
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path}", f"--data_dir={data}")
  start = time.monotonic()
  ended = binaries.call(capsys, verb, *places, *flags)
  assert ended.status == 2 and len(ended.errors) == 1 and part in ended.errors[0], ended
  trial(seconds=time.monotonic() - start)


def test_builders_files_and_verbs(capsys, tmp_path, trial):
  for verb, arguments, part in (
    ("prepare", ("fashion_mnits",), "did you mean 'fashion_mnist'?"),
    ("prepare", ("\u65e5",), "valid: asterisk, audio, audio_folder, digits, fashion_mnist"),
    ("pretrain", (f"--config={binaries.MAE.replace('vit', 'vti')}",), "did you mean 'mae_vit"),
    ("pretrain", (f"--config={'x' * 5000}",), "(File name too long)"),
    ("predict", ("embd", f"--workdir={tmp_path}"), "did you mean 'embed'?"),
    ("evaluate", ("--config=x.py", f"--workdir={'y' * 5000}"), "no file 'x.py'"),
  ):
    ended = binaries.call(capsys, verb, *arguments)
    assert ended.status == 2 and part in ended.errors[-1], ended
    trial()
  assert command.refused("pretrian", command.VERBS, called="x", name="x") == 2
  assert "did you mean 'pretrain'?" in capsys.readouterr().err


def test_a_model_in_a_stored_config(trial):
  """Models have no names but their classes'; a class that has moved is told as such."""
  config = recipe(MLP, image_size=8, num_channels=1, embed_dim=4)
  moved = ConfigDict(config.to_dict() | {"_target": "pretrainjax.models.mlp:MPL"})
  with pytest.raises(UserError, match="'pretrainjax.models.mlp:MPL' does not exist"):
    build(moved)
  trial()

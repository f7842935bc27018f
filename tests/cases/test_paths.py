"""Names of folders: "~" is the home folder, "@" and ":" belong to a name unless they end it."""

import json
from pathlib import Path

import binaries
import pytest
import synthetic

import pretrainjax
from pretrainjax.command import launch
from pretrainjax.errors import UserError
from pretrainjax.prepare.text.folder import Source


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


@pytest.mark.repeat
def test_what_pretrain_wrote_is_read(data, tmp_path, monkeypatch, capsys):
  """Into a folder called "a@b:c" of the home folder, by a flag that a shell leaves alone."""
  monkeypatch.setenv("HOME", str(tmp_path))
  places = ("--workdir=~/a@b:c", f"--data_dir={data}")
  ended = binaries.call(capsys, "pretrain", f"--config={binaries.MAE}", *places, *binaries.QUICK)
  assert ended.status == 0, ended
  assert json.loads((tmp_path / "a@b:c" / "metrics.jsonl").read_text().splitlines()[0])
  for name in ("~/a@b:c", "~/a@b:c@2", tmp_path / "a@b:c", "~/a@b:c:encoder"):
    assert pretrainjax.load_encoder(name).embed_dim == 16
  collapse = ("--no_random_init", *(f"--config.evals.{n}=None" for n in ("knn", "linear_probe")))
  config = f"--config={binaries.ROOT}/configs/evaluate/image/fashion_mnist.py:smoke"
  ended = binaries.call(capsys, "evaluate", config, *places, *collapse)
  assert ended.status == 0 and "| collapse" in ended.out, ended.errors
  assert (tmp_path / "a@b:c" / "evaluation" / "results.jsonl").is_file()
  tune = f"--config={binaries.ROOT}/configs/finetune/image/vit_fashion_mnist.py:smoke"
  for number, init in enumerate(("~/a@b:c", "~/a@b:c@2:encoder")):
    tuned = ("--config.evals=None", "--config.train.keep=None", "--config.train.duration.steps=0")
    to = (f"--workdir=~/tuned{number}", places[1], f"--config.init={init}")
    ended = binaries.call(capsys, "finetune", tune, *to, *tuned, binaries.QUICK[0])
    assert ended.status == 0 and f"{tmp_path}/a@b:c" in ended.out, ended.errors
  with pytest.raises(UserError, match=r"a@b:c: has not checkpoint 7; saved: \[2\]"):
    pretrainjax.load_encoder("~/a@b:c@7")
  with pytest.raises(UserError, match="a@b: no run's folder, .* did you mean 'a@b:c'"):
    pretrainjax.load_encoder("~/a@b")


def test_every_path_of_the_command_line(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir("/")
  (tmp_path / "own.py").write_text(
    "from ml_collections import ConfigDict\n"
    "def get_config(arg=None):\n  return ConfigDict({'seed': 0, 'arg': arg or ''})\n"
  )
  seen = []
  for argv in (
    ["--config=~/own.py:x", "--workdir=~/run"],
    ["--config", "~/own.py:x", "--workdir", "~/run"],
  ):
    assert launch(seen.append, verb="v", description="", argv=argv) == 0
  assert {(request.workdir, request.config.arg) for request in seen} == {(tmp_path / "run", "x")}


def test_raw_files_of_the_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir("/")
  (tmp_path / "books").mkdir()
  (tmp_path / "books" / "a.txt").write_text("One. Two.")
  with Source(root="~/books", name="x").open(Path()) as corpus:
    assert corpus is not None

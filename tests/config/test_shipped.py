"""Shipped configs are found by name, and their files run from wherever they are copied to."""

import sys
import types
from pathlib import Path

import pytest

from pretrainjax.config import shipped
from pretrainjax.config.text import flatten, load_config
from pretrainjax.errors import UserError

ROOT = Path(__file__).parents[2]
NAMES = shipped.shipped_names()
MAE = "pretrain/image/mae_vit_fashion_mnist"
COPIED = "from configs.blocks import training\nfrom configs.blocks.mine import NAME\n"


@pytest.fixture
def other(tmp_path, monkeypatch) -> Path:
  """A folder of shipped configs in which a name stands twice."""
  folder = tmp_path / "shipped_configs"
  for name in ("pretrain/image/same", "evaluate/text/same", "evaluate/text/other", "blocks/block"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text("")
  monkeypatch.setattr(shipped, "shipped_folder", lambda: folder)
  return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
  """An empty current folder, and no import of the checkout's configs by way of it."""
  monkeypatch.chdir(tmp_path)
  here = {"", ".", str(ROOT)}
  monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in here])
  return tmp_path


def test_blocks_are_no_configs():
  assert MAE in NAMES and not [name for name in NAMES if "blocks" in name]
  assert len(NAMES) == len(set(NAMES)) == len(list((ROOT / "configs").glob("*/*/*.py")))


@pytest.mark.parametrize("name", NAMES)
def test_every_config_has_a_short_name(name, elsewhere):
  whole = str(ROOT / "configs" / f"{name}.py")
  for reference in (name, name.partition("/")[2], shipped.short_name(name, NAMES)):
    assert shipped.locate(reference) == whole
  assert shipped.short_name(name, NAMES) == name.rpartition("/")[2]


def test_a_form_goes_with_a_name(elsewhere):
  config = load_config("mae_vit_fashion_mnist:smoke", {"seed": "3"})
  assert (config.train.duration.steps, config.seed) == (2, 3)
  with pytest.raises(UserError, match="found the form ':smok'; did you mean 'smoke'"):
    load_config("mae_vit_fashion_mnist:smok")


def test_a_file_counts_before_a_name(elsewhere):
  Path("mae_vit_fashion_mnist").write_text("")
  assert shipped.locate("mae_vit_fashion_mnist") == "mae_vit_fashion_mnist"
  Path("sotu").mkdir()  # where a dataset or a run may lie
  assert shipped.locate("sotu").endswith("evaluate/text/sotu.py")


@pytest.mark.parametrize(
  ("reference", "parts"),
  [
    ("mae_vti_fashion_mnist", ["no file and no shipped config", "'mae_vit_fashion_mnist'?"]),
    ("pretrain/text/gpt", ["did you mean 'pretrain/text/gpt_sotu'?"]),
    ("fit_fashion_mnist", ["did you mean 'vit_fashion_mnist'?"]),  # no end of a word
    ("quark", ["valid: bert4rec_interactions, bert_base, "]),
    ("blocks/training", ["no shipped config"]),
    ("../configs/pretrain/text/gpt_sotu", ["no shipped config"]),
    ("", ["no shipped config ''"]),
    ("configs/pretrain/image/mae_vit_fashion_mnist.py", ["no file", "'mae_vit_fashion_mnist'?"]),
    ("mae_vit_fashion_mnist.py", ["no file", "'mae_vit_fashion_mnist'?"]),
  ],
)
def test_what_is_no_name_is_told_in_one_line(reference, parts, elsewhere):
  with pytest.raises(UserError) as refusal:
    load_config(reference)
  for part in ("--config: ", f"'{reference}'", *parts):
    assert part in str(refusal.value)


def test_a_name_of_several_configs_is_refused(other):
  message = "'same' is the name of several: evaluate/text/same, pretrain/image/same"
  with pytest.raises(UserError, match=message):
    shipped.locate("same")
  assert shipped.locate("text/same") == str(other / "evaluate/text/same.py")
  names = shipped.shipped_names()
  assert [shipped.short_name(name, names) for name in names] == [
    "other",
    "evaluate/text/same",
    "pretrain/image/same",
  ]


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
  module = tmp_path / "site-packages/pretrainjax/config/shipped.py"
  monkeypatch.setattr(shipped, "__file__", str(module))
  assert shipped.shipped_folder() == tmp_path / "site-packages/configs"  # a checkout
  inside = tmp_path / "site-packages/pretrainjax/shipped_configs"
  inside.mkdir(parents=True)
  assert shipped.shipped_folder() == inside


@pytest.mark.parametrize("name", [MAE, "finetune/text/simcse_wordnet", "evaluate/image/imagenet"])
def test_a_copy_runs_from_anywhere(name, elsewhere):
  copy = elsewhere / "copy.py"
  copy.write_bytes((ROOT / "configs" / f"{name}.py").read_bytes())
  assert flatten(load_config("copy.py")) == flatten(load_config(name))


def test_blocks_of_ones_own_stand_before_the_shipped_ones(elsewhere):
  file = elsewhere / "configs/deep/mine.py"
  block = elsewhere / "configs/blocks/mine.py"
  for path in (file, block):
    path.parent.mkdir(parents=True)
  block.write_text("NAME = 'mine'\n")
  file.write_text(
    f"{COPIED}from configs.blocks import forms\n"
    "from ml_collections import ConfigDict\n"
    "def get_config(arg=None):\n"
    "  return ConfigDict({'name': NAME, 'steps': training.steps(3), 'forms': forms.form(arg)})\n"
  )
  (block.parent / "forms.py").write_text("def form(arg):\n  return f'my own, {arg}'\n")
  config = load_config(f"{file}:x")
  assert (config.name, config.steps.steps, config.forms) == ("mine", 3, "my own, x")
  assert load_config("mae_vit_fashion_mnist:smoke").seed == 0  # which uses the shipped forms


def test_a_package_configs_of_ones_own_is_run(elsewhere):
  folder = elsewhere / "configs"
  folder.mkdir()
  (folder / "__init__.py").write_text("RATE = 0.5\n")
  (elsewhere / "beside_configs.py").write_text("SIZE = 7\n")
  (folder / "mine.py").write_text(
    "from configs import RATE\nfrom configs.blocks import training\nfrom beside_configs import SIZE"
    "\nfrom ml_collections import ConfigDict\ndef get_config(arg=None):\n"
    "  return ConfigDict({'rate': RATE, 'size': SIZE, 'duration': training.steps(1)})\n"
  )
  try:
    assert flatten(load_config(str(folder / "mine.py")))["rate"] == 0.5
  finally:
    del sys.modules["beside_configs"]


def test_nothing_stays_behind(elsewhere, monkeypatch):
  """Neither on sys.path nor among the modules, also where the config fails."""
  theirs = types.ModuleType("configs")
  monkeypatch.setitem(sys.modules, "configs", theirs)
  # Another test of this process may have imported some, which are then as they were.
  path, before = list(sys.path), {n: m for n, m in sys.modules.items() if n.startswith("configs.")}
  load_config("gpt_sotu")
  broken = elsewhere / "configs/broken.py"
  broken.parent.mkdir()
  broken.write_text("from configs.blocks import training, nothing\n")
  with pytest.raises(UserError, match="line 1: ImportError"):
    load_config(str(broken))
  assert sys.path == path and sys.modules["configs"] is theirs
  assert {n: m for n, m in sys.modules.items() if n.startswith("configs.")} == before


def test_about_reads_the_docstring_of_a_file_that_is_not_run(tmp_path):
  file = tmp_path / "mine.py"
  head = '"""What it is.\n\nCommand:  pretrainjax pretrain \\\\\n  --config=mine\n'
  file.write_text(f'{head}Minutes:  5, here\nExpected: 0.9,\n  or more\n\nMore.\n"""\n1 / 0\n')
  command = "pretrainjax pretrain --config=mine"
  assert shipped.about(file) == ("What it is.", command, "5, here", "0.9, or more")
  file.write_text(f'{head}Minutes:  5\n"""\n')
  with pytest.raises(ValueError, match="no line 'Expected: ...'"):
    shipped.about(file)

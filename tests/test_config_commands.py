"""`pretrainjax configs`, `pretrainjax config NAME`, and copies of shipped configs."""

import sys
from pathlib import Path

import binaries
import pytest

from pretrainjax import command
from pretrainjax.config.text import flatten, load_config

MAE = binaries.MAE.removesuffix(":smoke")


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
  """A function that runs `pretrainjax ...` in an empty folder."""
  monkeypatch.chdir(tmp_path)

  def run(*arguments: str) -> binaries.Ended:
    monkeypatch.setattr(sys, "argv", ["pretrainjax", *arguments])
    status = command.main()
    captured = capsys.readouterr()
    return binaries.Ended(status, captured.out, captured.err.splitlines())

  return run


def test_configs_lists_what_there_is(typed):
  ended = typed("configs", "fashion", "mae")
  assert ended.status == 0 and "mae_vit_fashion_mnist" in ended.out and "gpt" not in ended.out
  ended = typed("configs", "fashoin_mnist")
  assert ended.status == 2
  assert ended.errors == [
    "configs: error: no config has the words 'fashoin_mnist'; did you mean 'fashion_mnist'?"
  ]


def test_config_shows_values_and_marks_changes(typed):
  ended = typed("config", "gpt_sotu:smoke", "--config.seed=3", "--datasets=books")
  assert ended.status == 0 and not ended.errors
  marked = [line for line in ended.out.splitlines() if line.startswith("*")]
  assert marked == [
    "* seed = 3  (was 0)",
    "* data.datasets = 'books'  (was 'sotu')",
    "* evals.held_out.data.datasets = 'books'  (was 'sotu')",
  ]
  assert typed("config", "--config=gpt_sotu:smoke").status == 0


@pytest.mark.parametrize(
  ("arguments", "part"),
  [
    (["gpt_stou"], "did you mean 'gpt_sotu'?"),
    (["gpt_sotu", "--config.sede=3"], "did you mean 'seed'?"),
    ([], "--config: found nothing, expected FILE[:arg], or NAME[:arg]"),
    (["gpt_sotu", "--copy=mine"], "expected a name that ends in .py"),
    (["gpt_sotu", "--copy=nowhere/mine.py"], "cannot write 'nowhere/mine.py' (No such file"),
    (["gpt_sotu", "--copy=mine.py", "--config.seed=3"], "found a change of seed, expected none"),
  ],
)
def test_mistakes_take_one_line(arguments, part, typed, tmp_path):
  ended = typed("config", *arguments)
  assert ended.status == 2 and len(ended.errors) == 1, ended
  assert ended.errors[0].startswith("config: error: ") and part in ended.errors[0]
  assert not list(tmp_path.iterdir())


def test_a_copy_is_run_and_never_overwritten(typed):
  ended = typed("config", "mae_vit_fashion_mnist:smoke", "--copy=mine.py")
  assert ended.status == 0 and "run it with --config=mine.py:smoke" in ended.out
  copy = Path("mine.py")
  assert copy.read_bytes() == Path(MAE).read_bytes()
  assert flatten(load_config("mine.py:smoke")) == flatten(load_config(binaries.MAE))
  copy.write_text("mine")
  ended = typed("config", "gpt_sotu", "--copy=mine.py")
  assert ended.status == 2 and copy.read_text() == "mine"
  assert ended.errors == [
    "config: error: --copy: 'mine.py' is there already, and is not overwritten"
  ]


def test_the_modules_are_the_same_commands(capsys):
  ended = binaries.call(capsys, "config.__main__", "gpt_sotu", "--config.seed=3")
  assert ended.status == 0 and "* seed = 3  (was 0)" in ended.out

"""Paths as users type them, wherever one is taken."""

from pathlib import Path

import pytest

from pretrainjax.config.shipped import file_and_form, locate
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.prepare.config import data_dir_of, default_config
from pretrainjax.user_path import user_path


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_a_tilde_at_the_beginning_is_the_home_folder(home):
  assert user_path("~") == home and user_path("~/a/~") == home / "a/~"
  assert user_path(Path("~/a")) == home / "a"
  for text in ("a/~", "./~/a", "~nobody_of_this_name/a", ""):
    assert user_path(text) == Path(text)


def test_a_config_file(home):
  (home / "own.py").write_text("")
  assert locate("~/own.py") == str(home / "own.py")
  assert file_and_form("~/own.py:smoke") == ("~/own.py", "smoke")


@pytest.mark.parametrize(
  ("reference", "found"),
  [
    ("own.py", ("own.py", None)),
    ("own.py:smoke", ("own.py", "smoke")),
    ("own.py:", ("own.py", None)),
    ("a:b/own.py", ("a:b/own.py", None)),
    ("a:b/own.py:smoke", ("a:b/own.py", "smoke")),
    ("gpt_sotu:smoke", ("gpt_sotu", "smoke")),
    ("gpt_sotu", ("gpt_sotu", None)),
    ("none.py:a:b", ("none.py", "a:b")),
  ],
)
def test_a_config_file_in_a_folder_with_a_colon(reference, found, home):
  (home / "a:b").mkdir()
  for file in ("own.py", "a:b/own.py"):
    (home / file).write_text("")
  assert file_and_form(reference) == found


def test_where_datasets_lie(home, monkeypatch):
  options = {"datasets": "x", "batch_size": 1, "transform": Resize(size=2)}
  for data in (ImageData(data_dir="~/d", **options), ImageData(**options)):
    monkeypatch.setenv("PRETRAINJAX_DATA", "~/d")
    with pytest.raises(Exception, match=f"{home}/d"):
      _ = data.sources
  config = default_config("image_folder")
  assert data_dir_of(config) == home / "d"
  config.data_dir = "~/other"
  assert data_dir_of(config) == home / "other"

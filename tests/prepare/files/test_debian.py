"""A package is asked for twice: with the machine's lists, and with new ones."""

import pytest

from pretrainjax.prepare.files import debian
from pretrainjax.prepare.files.places import Unavailable


@pytest.fixture
def commands(monkeypatch):
  """What was run; "apt-get download" works from the `works`-th time on."""
  found, state = [], {"works": 1}

  def run(command, folder):
    found.append([c for c in command if c in ("download", "update", "dpkg-deb")])
    if "download" in command:
      state["works"] -= 1
      if state["works"] > 0:
        raise Unavailable("no such package")
      (folder / "some_1_all.deb").write_text("")

  monkeypatch.setattr(debian, "run", run)
  monkeypatch.setattr(debian, "require", lambda *tools: None)
  return found, state


def test_the_machines_lists_come_first(tmp_path, commands):
  assert debian.files_of_package("some", tmp_path) == tmp_path / "files"
  assert commands[0] == [["download"], ["dpkg-deb"]]


def test_old_lists_are_renewed(tmp_path, commands):
  commands[1]["works"] = 2
  debian.files_of_package("some", tmp_path)
  assert commands[0] == [["download"], ["update"], ["download"], ["dpkg-deb"]]


def test_a_package_that_does_not_exist(tmp_path, commands):
  commands[1]["works"] = 3
  with pytest.raises(Unavailable, match="no such package"):
    debian.files_of_package("some", tmp_path)

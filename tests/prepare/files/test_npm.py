"""An npm package is taken from node_modules, or packed and unpacked."""

import tarfile

import pytest

from pretrainjax.prepare.files import npm
from pretrainjax.prepare.files.places import Unavailable, first_of


@pytest.fixture
def registry(monkeypatch, tmp_path):
  """Stands for npm: packs what lies in the folder that comes back."""
  content = tmp_path / "registry"
  content.mkdir()

  def run(command, folder):
    assert command[:2] == ["npm", "pack"]
    with tarfile.open(folder / "some-1.tgz", "w:gz") as archive:
      archive.add(content, arcname="package")

  monkeypatch.setattr(npm, "run", run)
  monkeypatch.setattr(npm, "require", lambda *tools: None)
  return content


def check(folder):
  if not (folder / "a").is_file():
    raise Unavailable("lacks a")
  return folder


def test_what_is_installed_comes_first(tmp_path, monkeypatch, registry):
  monkeypatch.chdir(tmp_path)
  (registry / "data").mkdir()
  (registry / "data" / "a").write_text("packed")
  options = {"inside": "data", "check": check, "work": tmp_path / "work"}
  found = first_of(npm.places("@x/y", **options), what="It", how="")
  assert (found / "a").read_text() == "packed"
  installed = tmp_path / "node_modules" / "@x" / "y" / "data"
  installed.mkdir(parents=True)
  (installed / "a").write_text("installed")
  found = first_of(npm.places("@x/y", **options), what="It", how="")
  assert (found / "a").read_text() == "installed"


def test_a_damaged_package_is_unavailable(tmp_path, monkeypatch):
  monkeypatch.setattr(npm, "require", lambda *tools: None)
  monkeypatch.setattr(npm, "run", lambda command, folder: None)
  with pytest.raises(Unavailable, match="left no package"):
    npm.packed("@x/y", tmp_path)
  (tmp_path / "some.tgz").write_bytes(b"nonsense")
  with pytest.raises(Unavailable, match="some.tgz"):
    npm.packed("@x/y", tmp_path)

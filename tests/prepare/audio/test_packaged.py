"""Sounds of packages: where they are looked for, and what is said where they are not."""

import pytest
from tiny_sounds import tone, write_wav

from pretrainjax.errors import UserError
from pretrainjax.prepare.audio import packaged
from pretrainjax.prepare.audio.check import SoundFile
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.audio.packaged import package_folders, sound_corpus, sounds_below
from pretrainjax.prepare.files.places import Unavailable

PACKAGES = {"one": "usr/share/one", "two": "usr/share/two"}


def test_installed_packages_come_before_downloads(tmp_path, monkeypatch):
  def download(package, work):
    write_wav(work / "files" / PACKAGES[package] / "a.wav", tone(0))
    return work / "files"

  monkeypatch.setattr(packaged, "ROOT", tmp_path)
  monkeypatch.setattr(packaged, "files_of_package", download)
  write_wav(tmp_path / "usr/share/one/b.wav", tone(1))
  with package_folders(None, PACKAGES) as folders:
    assert folders["one"] == tmp_path / "usr/share/one"
    assert [path.name for path in sounds_below(folders["two"], ".wav")] == ["a.wav"]
  assert not folders["two"].exists()  # it was temporary


def test_nowhere_names_every_place_and_the_way_out(tmp_path, monkeypatch):
  def download(package, work):
    raise Unavailable("no apt-get on this machine")

  monkeypatch.setattr(packaged, "ROOT", tmp_path)
  monkeypatch.setattr(packaged, "files_of_package", download)
  message = "one was not found; tried .*no such folder.*no apt-get.*apt-get install one"
  with pytest.raises(UserError, match=message), package_folders(None, PACKAGES):
    pass
  with pytest.raises(UserError, match="--source=.*no such folder"):
    with package_folders(str(tmp_path), PACKAGES):
      pass


def test_a_corpus_has_an_identity_and_is_not_empty(tmp_path):
  options = {"look": Look(), "holdout": None, "origin": "one", "info": {}}
  path = write_wav(tmp_path / "a.wav", tone(0))
  identities = set()
  for facts in (Facts(), Facts(label="a")):
    with sound_corpus([SoundFile(path, "a", facts)], **options) as corpus:
      identities.add(corpus.identity)
      assert [s.key for part in corpus.parts() for s in part.records()] == ["a"]
  assert len(identities) == 2
  with pytest.raises(UserError, match="one: holds no sound of that kind"):
    with sound_corpus([], **options):
      pass

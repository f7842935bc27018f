import os
import sys
import types

import pytest

from pretrainjax.convert import hub
from pretrainjax.errors import UserError


def test_a_folder_is_itself(tmp_path):
  assert hub.locate(tmp_path) == (tmp_path, tmp_path)
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="is a file, expected the folder"):
    hub.locate(tmp_path / "file")
  (tmp_path / "minilm").mkdir()
  (tmp_path / "minilm" / "config.json").write_text("{}")
  with pytest.raises(UserError, match="no such folder; did you mean 'minilm'"):
    hub.locate(tmp_path / "minilmm")


def test_links_of_the_cache_may_lead_to_its_blobs(tmp_path):
  repository = tmp_path / "models--org--name"
  snapshot = repository / "snapshots" / "abc"
  snapshot.mkdir(parents=True)
  assert hub.locate(snapshot).inside == snapshot
  (repository / "blobs").mkdir()
  assert hub.locate(snapshot).inside == repository


class Library(types.ModuleType):
  """A stand-in for huggingface_hub: a cache of one model, and no network."""

  def __init__(self, cached):
    super().__init__("huggingface_hub")
    self.cached, self.calls = cached, []

  def snapshot_download(self, repo_id, *, allow_patterns, local_files_only=False):
    self.calls.append(local_files_only)
    if repo_id in self.cached and local_files_only:
      return str(self.cached[repo_id])
    raise OSError("no\nnetwork")


def test_a_name_goes_through_the_cache(tmp_path, monkeypatch):
  library = Library({"org/name": tmp_path})
  monkeypatch.setitem(sys.modules, "huggingface_hub", library)
  monkeypatch.chdir(tmp_path)
  assert hub.locate(tmp_path.__class__("org/name")).folder == tmp_path
  assert library.calls == [True]
  with pytest.raises(UserError, match="not in the cache of .* cannot be fetched: no network"):
    hub.locate(tmp_path.__class__("org/other"))
  with pytest.raises(UserError, match="no such folder"):
    hub.locate(tmp_path.__class__("../org/other"))


def test_without_the_library(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match=r"pip install pretrainjax\[hf\]"):
    hub.locate(tmp_path.__class__("org/name"))
  assert not os.listdir(tmp_path)

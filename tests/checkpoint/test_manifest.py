"""A folder is what its manifest lists, or is refused by the name of the file."""

import json

import damage
import numpy as np
import pytest

from pretrainjax.checkpoint import manifest
from pretrainjax.errors import UserError


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "weights").mkdir()
  np.save(tmp_path / "weights" / "a.npy", np.arange(1000))
  (tmp_path / "config.json").write_text("{}")
  manifest.write(tmp_path)
  return tmp_path


def test_without_one_nothing_is_known(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  assert manifest.verify(tmp_path) is False


def test_it_is_what_other_tools_compute(folder):
  listed = json.loads((folder / manifest.NAME).read_text())["files"]
  assert set(listed) == {"config.json", "weights/a.npy"}
  # printf '{}' | sha256sum
  digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
  assert listed["config.json"] == {"bytes": 2, "sha256": digest}
  assert manifest.verify(folder) is True


def test_files_beside_those_listed_do_not_matter(folder):
  (folder / "notes.txt").write_text("mine")
  assert manifest.verify(folder) is True


@pytest.mark.parametrize("how", [damage.flip, damage.truncate])
def test_a_changed_file_is_named(how, folder):
  how(folder / "weights" / "a.npy")
  with pytest.raises(UserError, match=r"weights/a.npy: is not what MANIFEST.json lists \(8128"):
    manifest.verify(folder)


def test_a_missing_file_is_named(folder):
  (folder / "config.json").unlink()
  with pytest.raises(UserError, match="config.json: is missing"):
    manifest.verify(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"x": 1}}', '{"files": [1]}'])
def test_a_manifest_that_is_none_is_an_error(text, folder):
  (folder / manifest.NAME).write_text(text)
  with pytest.raises(UserError, match="MANIFEST.json: is no manifest"):
    manifest.verify(folder)

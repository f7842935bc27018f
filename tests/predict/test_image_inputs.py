"""What a user names is a file, a folder or a prepared set."""

import pytest
from pictures import encoded, smooth

from pretrainjax.errors import UserError
from pretrainjax.predict.image_inputs import find_dataset, find_files


def test_files_and_folders_give_names_and_paths(tmp_path):
  for name in ("in/b.png", "in/a/c.jfif", "in/notes.txt", "one.dat"):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"x" if name.endswith("txt") else encoded(smooth(), "PNG"))
  alone = str(tmp_path / "one.dat")
  paths, names = find_files([str(tmp_path / "in"), alone])
  assert names == ["a/c.jfif", "b.png", alone]
  assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
    "in/a/c.jfif",
    "in/b.png",
    "one.dat",
  ]
  with pytest.raises(UserError, match="did you mean 'one.dat'"):
    find_files([str(tmp_path / "ome.dat")])


def test_prepared_sets_are_found_by_name_and_by_folder(tmp_path):
  version = tmp_path / "data/pets/1.0.0"
  version.mkdir(parents=True)
  (version / "dataset_info.json").write_text("{}")
  expected = ("pets", tmp_path / "data")
  for given in ("pets", str(version), str(version.parent)):
    assert find_dataset(given, tmp_path / "data") == expected
  assert find_dataset("cats", tmp_path / "data") is None
  assert find_dataset(str(tmp_path), tmp_path / "data") is None

"""Files by name and place: links, hidden ones, splits and classes."""

import os
from pathlib import Path

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.image.files import has_splits, image_files, place


def touch(path: Path) -> Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(b"x")
  return path


def test_all_image_suffixes_in_a_fixed_order(tmp_path):
  for name in ("b/2.JPG", "a/1.png", "a/z/3.webp", "4.bmp", "5.jpeg"):
    touch(tmp_path / name)
  dropped = []
  found = [p.relative_to(tmp_path).as_posix() for p in image_files(tmp_path, dropped)]
  assert found == ["4.bmp", "5.jpeg", "a/1.png", "a/z/3.webp", "b/2.JPG"] and dropped == []


def test_what_is_passed_over_is_noted(tmp_path):
  root = tmp_path / "root"
  touch(root / "a" / "in.png")
  outside = touch(tmp_path / "outside" / "secret.png")
  (root / "a" / "out.png").symlink_to(outside)
  (root / "a" / "up.png").symlink_to("../../outside/secret.png")
  (root / "a" / "nothing.png").symlink_to(root / "gone.png")
  (root / "a" / "same.png").symlink_to(root / "a" / "in.png")
  (root / "linked").symlink_to(outside.parent)
  touch(root / "a" / "._in.png")
  touch(root / "a" / "notes.txt")
  touch(root / ".git" / "x.png")
  dropped = []
  found = [p.relative_to(root).as_posix() for p in image_files(root, dropped)]
  assert found == ["a/in.png", "a/same.png"]
  assert {d.key: d.reason for d in dropped} == {
    "a/out.png": "link out of the folder",
    "a/up.png": "link out of the folder",
    "a/nothing.png": "link to nothing",
    "linked": "linked folder",
    "a/._in.png": "hidden file",
    "a/notes.txt": "no image by its name",
  }


@pytest.mark.parametrize(
  ("folders", "expected"),
  [
    (["train/cat", "test/cat"], True),
    (["train", "val"], True),
    (["cat", "dog"], False),
    (["train", "plane", "car"], False),  # classes of vehicles
    (["train/cat", ".cache"], True),
    ([], False),
  ],
)
def test_splits_are_told_from_classes(tmp_path, folders, expected):
  for folder in folders:
    (tmp_path / folder).mkdir(parents=True)
  assert has_splits(tmp_path) is expected


def test_splits_beside_other_folders_are_refused(tmp_path):
  for folder in ("train/cat", "test/cat", "annotations"):
    (tmp_path / folder).mkdir(parents=True)
  with pytest.raises(UserError, match=r"holds splits \(test, train\) beside 'annotations'"):
    has_splits(tmp_path)


def test_places():
  assert place(Path("cat/1.png"), splits=False) == ("train", "cat")
  assert place(Path("cat/deep/1.png"), splits=False) == ("train", "cat")
  assert place(Path("1.png"), splits=False) == ("train", "")
  assert place(Path("val/cat/1.png"), splits=True) == ("validation", "cat")
  assert place(Path("test/1.png"), splits=True) == ("test", "")


def test_what_cannot_be_an_image_is_passed_over(tmp_path):
  (tmp_path / "loop.png").symlink_to("loop.png")
  os.mkfifo(tmp_path / "pipe.png")
  dropped = []
  assert image_files(tmp_path, dropped) == []
  assert set(dropped) == {("loop.png", "link to nothing"), ("pipe.png", "no plain file")}


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
  def scandir(path):
    if str(path).endswith("/a"):
      raise PermissionError(13, "Permission denied", str(path))
    return original(path)

  (tmp_path / "a").mkdir()
  original, dropped = os.scandir, []
  monkeypatch.setattr(os, "scandir", scandir)
  assert image_files(tmp_path, dropped) == [] and dropped == [("a", "folder that cannot be read")]

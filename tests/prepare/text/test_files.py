"""Which files of a folder are texts, and which splits they are in."""

import os

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.text.document import Unreadable
from pretrainjax.prepare.text.files import files_below, listing, spelled, split_folders


def fill(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
  return root


def test_texts_come_in_a_fixed_order_and_what_is_passed_over_is_told(tmp_path):
  root = fill(tmp_path / "r", "b.txt", "a.jsonl", "c/d.PARQUET", "e.pdf", ".f.txt", ".g/h.txt")
  (tmp_path / "outside.txt").write_text("x")
  (root / "out.txt").symlink_to(tmp_path / "outside.txt")
  (root / "gone.txt").symlink_to(root / "gone")
  (root / "folder").symlink_to(tmp_path)
  (root / "same.txt").symlink_to(root / "b.txt")
  found = list(files_below(root))
  texts = [p.relative_to(root).as_posix() for p in found if not isinstance(p, Unreadable)]
  assert texts == ["a.jsonl", "b.txt", "same.txt", "c/d.PARQUET"]
  assert {(p.key, p.reason, p.fault) for p in found if isinstance(p, Unreadable)} == {
    ("e.pdf", "no text by its name", False),
    (".f.txt", "hidden file", False),
    ("out.txt", "link out of the folder", False),
    ("gone.txt", "link to nothing", False),
    ("folder", "linked folder", False),
  }
  assert list(files_below(root / "b.txt")) == [root / "b.txt"]


def test_folders_named_as_splits_are_splits_and_those_held_out_come_first(tmp_path):
  root = fill(tmp_path / "a", "train/x.txt", "val/y.txt", "test/z.txt")
  found = split_folders(root)
  assert [(p.name, split) for p, split in found.items()] == [
    ("test", "test"),
    ("val", "validation"),
    ("train", "train"),
  ]
  for names in (["x.txt"], ["train/x.txt"], ["novels/x.txt", "test/x.txt"]):
    root = fill(tmp_path / f"b{len(names)}{len(names[0])}", *names)
    assert split_folders(root) == {root: None}
  with pytest.raises(UserError, match="holds splits .* beside 'novels'"):
    split_folders(fill(tmp_path / "c", "train/a/x.txt", "novels/y.txt"))


def test_the_listing_changes_with_any_file(tmp_path):
  root = fill(tmp_path / "r", "a.txt", "b.txt")
  digest, count, size = listing(root)
  assert (count, size) == (2, 2) and listing(root)[0] == digest
  (root / "a.txt").write_text("xy")
  assert listing(root)[0] != digest


def test_names_that_are_no_utf8_are_spelt_out(tmp_path):
  (tmp_path / os.fsdecode(b"\xff.txt")).write_text("x")
  assert listing(tmp_path)[1] == 1
  assert [spelled(p.name) for p in files_below(tmp_path)] == ["\\udcff.txt"]


def test_what_cannot_be_a_text_is_passed_over(tmp_path):
  (tmp_path / "loop.txt").symlink_to("loop.txt")
  os.mkfifo(tmp_path / "pipe.txt")
  found = {(item.key, item.reason) for item in files_below(tmp_path)}
  assert found == {("loop.txt", "link to nothing"), ("pipe.txt", "no plain file")}


def test_a_folder_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch):
  """And not a folder without texts."""
  fill(tmp_path, "a/b.txt", "c.txt")

  def scandir(path):
    if str(path).endswith("/a"):
      raise PermissionError(13, "Permission denied", str(path))
    return original(path)

  original = os.scandir
  monkeypatch.setattr(os, "scandir", scandir)
  found = [item for item in files_below(tmp_path) if isinstance(item, Unreadable)]
  assert found == [Unreadable("a", "folder that cannot be read (Permission denied)")]


def test_names_are_spelled_on_one_line():
  assert spelled("a\nb\x1b[31m\udcff\u65e5") == r"a\nb\x1b[31m\udcff" + "\u65e5"

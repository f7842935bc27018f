"""Files by name and place: order, links, hidden ones, and what is told of those passed over."""

import os

import pytest

from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.files.walk import File, open_listing

TEXTS, IMAGES = (".txt", ".jsonl", ".parquet"), (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def fill(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
  return root


def walk(
  root, *, suffixes=TEXTS, what="text", order="folder", **options
) -> list[File | Unreadable]:
  with open_listing(suffixes=suffixes, what=what, **options) as listing:
    listing.add(root, order=order)
    return list(listing.items())


def names(items) -> list[str]:
  return [item.path.as_posix() for item in items if isinstance(item, File)]


def test_texts_come_in_a_fixed_order_and_what_is_passed_over_is_told(tmp_path):
  root = fill(tmp_path / "r", "b.txt", "a.jsonl", "c/d.PARQUET", "e.pdf", ".f.txt", ".g/h.txt")
  (tmp_path / "outside.txt").write_text("x")
  (root / "out.txt").symlink_to(tmp_path / "outside.txt")
  (root / "gone.txt").symlink_to(root / "gone")
  (root / "folder").symlink_to(tmp_path)
  (root / "same.txt").symlink_to(root / "b.txt")
  found = walk(root)
  assert names(found) == ["a.jsonl", "b.txt", "same.txt", "c/d.PARQUET"]
  assert {(p.key, p.reason, p.fault) for p in found if isinstance(p, Unreadable)} == {
    ("e.pdf", "no text by its name", False),
    (".f.txt", "hidden file", False),
    ("out.txt", "link out of the folder", False),
    ("gone.txt", "link to nothing", False),
    ("folder", "linked folder", False),
  }
  assert found[0] == Unreadable("folder", "linked folder", False)
  (alone,) = walk(root / "b.txt")
  assert root / "b.txt" / alone.path == root / "b.txt" and alone.size == 1


def test_all_image_suffixes_by_path(tmp_path):
  fill(tmp_path, "b/2.JPG", "a/1.png", "a/z/3.webp", "a/z.png", "4.bmp", "a b/6.png", "5.jpeg")
  found = walk(tmp_path, suffixes=IMAGES, what="image", order="path")
  wanted = ["4.bmp", "5.jpeg", "a/1.png", "a/z/3.webp", "a/z.png", "a b/6.png", "b/2.JPG"]
  assert names(found) == wanted == [p.as_posix() for p in sorted(f.path for f in found)]


def test_files_of_a_folder_come_before_those_of_its_own(tmp_path):
  """As `os.walk` meets them, folder by folder."""
  fill(tmp_path, "z.txt", "a/b/x.txt", "a/y.txt", "a/b c/x.txt", "a.b/x.txt", "a/\u00e9.txt")
  walked = []
  for folder, folders, files in os.walk(tmp_path):
    folders.sort()
    walked += [os.path.relpath(os.path.join(folder, name), tmp_path) for name in sorted(files)]
  assert names(walk(tmp_path)) == walked and walked[0] == "z.txt"


def test_links_of_images(tmp_path):
  root = fill(tmp_path / "root", "a/in.png", "a/._in.png", "a/notes.txt", ".git/x.png")
  outside = fill(tmp_path, "outside/secret.png") / "outside/secret.png"
  (root / "a" / "out.png").symlink_to(outside)
  (root / "a" / "up.png").symlink_to("../../outside/secret.png")
  (root / "a" / "nothing.png").symlink_to(root / "gone.png")
  (root / "a" / "same.png").symlink_to(root / "a" / "in.png")
  (root / "linked").symlink_to(outside.parent)
  found = walk(root, suffixes=IMAGES, what="image", order="path")
  assert names(found) == ["a/in.png", "a/same.png"]
  assert {i.key: i.reason for i in found if isinstance(i, Unreadable)} == {
    "a/out.png": "link out of the folder",
    "a/up.png": "link out of the folder",
    "a/nothing.png": "link to nothing",
    "linked": "linked folder",
    "a/._in.png": "hidden file",
    "a/notes.txt": "no image by its name",
  }


def test_the_identity_changes_with_any_file(tmp_path):
  root = fill(tmp_path / "r", "a.txt", "b.txt", "c.pdf")

  def look():
    with open_listing(suffixes=TEXTS, what="text") as listing:
      listing.add(root)
      return listing.identity(), listing.num_files, listing.num_items, listing.num_bytes

  digest, *counts = look()
  assert counts == [2, 3, 2] and look()[0] == digest
  (root / "a.txt").write_text("xy")
  assert look()[0] != digest


def test_names_that_are_no_utf8_are_walked_through(tmp_path):
  (tmp_path / os.fsdecode(b"\xff.txt")).write_text("x")
  (tmp_path / os.fsdecode(b"\xfe.pdf")).write_text("x")
  found = walk(tmp_path)
  assert found[0] == Unreadable("\\udcfe.pdf", "no text by its name", False)
  assert (tmp_path / found[1].path).read_text() == "x"


def test_what_cannot_be_a_text_is_passed_over(tmp_path):
  (tmp_path / "loop.txt").symlink_to("loop.txt")
  os.mkfifo(tmp_path / "pipe.txt")
  found = {(item.key, item.reason) for item in walk(tmp_path)}
  assert found == {("loop.txt", "link to nothing"), ("pipe.txt", "no plain file")}


@pytest.mark.parametrize("order", ["path", "folder"])
def test_a_folder_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch, order):
  """And not a folder without texts."""
  fill(tmp_path, "a/b.txt", "c.txt")

  def scandir(path):
    if str(path).endswith("/a"):
      raise PermissionError(13, "Permission denied", str(path))
    return original(path)

  original = os.scandir
  monkeypatch.setattr(os, "scandir", scandir)
  found = walk(tmp_path, order=order)
  assert found[1] == Unreadable("a", "folder that cannot be read (Permission denied)")
  assert names(found) == ["c.txt"]


def test_links_are_followed_on_demand_and_none_leads_in_a_circle(tmp_path):
  root = fill(tmp_path / "root", "a/in.png")
  fill(tmp_path, "outside/deep/x.png", "blob.png")
  (root / "a/out.png").symlink_to(tmp_path / "blob.png")
  (root / "b").symlink_to(tmp_path / "outside")
  (root / "a/up").symlink_to(root)
  (tmp_path / "outside/back").symlink_to(tmp_path / "outside")
  (root / "gone.png").symlink_to("nothing")
  found = walk(root, suffixes=IMAGES, what="image", order="path", follow_links=True)
  assert names(found) == ["a/in.png", "a/out.png", "b/deep/x.png"]
  assert {(i.key, i.reason) for i in found if isinstance(i, Unreadable)} == {
    ("a/up", "linked folder"),
    ("b/back", "linked folder"),
    ("gone.png", "link to nothing"),
  }


def test_files_of_other_names_can_be_taken_by_their_content(tmp_path):
  root = fill(tmp_path / "root", "a.png", "b", "c.txt", "d.bin", ".e")
  os.mkfifo(root / "pipe")
  fill(tmp_path, "secret")
  (root / "link").symlink_to(tmp_path / "secret")
  asked = []

  def by_content(path):
    asked.append(path.name)
    return {"b": None, "c.txt": "no image by its name", "d.bin": "format of others"}[path.name]

  found = walk(root, suffixes=IMAGES, what="image", by_content=by_content)
  assert names(found) == ["a.png", "b"] and sorted(asked) == ["b", "c.txt", "d.bin"]
  assert {(i.key, i.reason, i.fault) for i in found if isinstance(i, Unreadable)} == {
    ("c.txt", "no image by its name", False),
    ("d.bin", "format of others", True),
    (".e", "hidden file", False),
    ("pipe", "no image by its name", False),
    ("link", "no image by its name", False),
  }


def test_the_folders_that_hold_files(tmp_path):
  fill(tmp_path, "x.txt", "a/b/y.txt", "a/b/z.txt", "c/notes.pdf")
  with open_listing(suffixes=TEXTS, what="text") as listing:
    listing.add(tmp_path)
    assert listing.folders() == {(), ("a", "b")}

"""Folders of images: classes, splits, and what is left out."""

import cv2
import numpy as np
import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.image.folder import Source


def _image(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  cv2.imwrite(str(path), np.full((4, 5, 3), value, np.uint8))


def test_classes_and_a_held_out_part(tmp_path):
  for i in range(10):
    _image(tmp_path / "cat" / f"{i}.png", i)
    _image(tmp_path / "dog" / f"{i}.png", 100 + i)
  collected = Source(root=str(tmp_path), name="pets", test_fraction=0.2).collect()
  assert collected.class_names == ("cat", "dog")
  assert {s: len(e) for s, e in collected.splits.items()} == {"train": 16, "test": 4}
  assert sorted(e.label for e in collected.splits["test"]) == [0, 0, 1, 1]
  assert collected.image_shape == (None, None, 3)


def test_splits_of_its_own_stay(tmp_path):
  _image(tmp_path / "train" / "cat" / "1.png", 1)
  _image(tmp_path / "val" / "cat" / "2.jpg", 2)
  collected = Source(root=str(tmp_path), name="pets").collect()
  assert {s: [e.key for e in es] for s, es in collected.splits.items()} == {
    "train": ["train/cat/1.png"],
    "validation": ["val/cat/2.jpg"],
  }


def test_without_labels(tmp_path):
  _image(tmp_path / "1.png", 1)
  collected = Source(root=str(tmp_path), name="pets", test_fraction=0.0).collect()
  assert collected.class_names == ()
  assert [e.label for e in collected.splits["train"]] == [None]


def test_what_is_dropped_is_named(tmp_path):
  root = tmp_path / "root"
  _image(root / "a" / "good.png", 1)
  (root / "a" / "cut.png").write_bytes((root / "a" / "good.png").read_bytes()[:40])
  (root / "a" / "notes.txt").write_text("no image")
  _image(tmp_path / "secret.png", 9)
  (root / "a" / "link.png").symlink_to(tmp_path / "secret.png")
  collected = Source(root=str(root), name="pets", test_fraction=0.0).collect()
  assert {d.key: d.reason for d in collected.dropped} == {
    "a/cut.png": "not decodable",
    "a/notes.txt": "no image by its name",
    "a/link.png": "link out of the folder",
  }
  assert collected.unreadable == 1
  assert [e.key for e in collected.splits["train"]] == ["a/good.png"]


def test_mistakes(tmp_path):
  with pytest.raises(UserError, match="is no folder"):
    Source(root=str(tmp_path / "none"), name="pets").collect()
  with pytest.raises(UserError, match="holds no image"):
    Source(root=str(tmp_path), name="pets").collect()
  with pytest.raises(ValueError, match="small letters"):
    Source(root=str(tmp_path), name="../pets")


def test_images_with_and_without_a_class_are_told_apart(tmp_path):
  _image(tmp_path / "cat" / "1.png", 1)
  _image(tmp_path / "2.png", 2)
  with pytest.raises(UserError, match=r"with a class \(cat/1.png\) and without \(2.png\)"):
    Source(root=str(tmp_path), name="pets").collect()
  collected = Source(root=str(tmp_path), name="pets", labels="none", test_fraction=0.0).collect()
  assert collected.class_names == () and len(collected.splits["train"]) == 2
  assert {e.label for e in collected.splits["train"]} == {None}


def test_small_and_large_ones_are_dropped(tmp_path, monkeypatch):
  _image(tmp_path / "a" / "1.png", 1)
  cv2.imwrite(str(tmp_path / "a" / "large.png"), np.zeros((40, 40, 3), np.uint8))
  monkeypatch.setattr("pretrainjax.data.image.MAX_PIXELS", 100)
  cv2.imwrite(str(tmp_path / "a" / "thin.png"), np.zeros((2, 9, 3), np.uint8))
  collected = Source(root=str(tmp_path), name="pets", test_fraction=0.0, min_pixels=3).collect()
  reasons = {d.key: d.reason for d in collected.dropped}
  assert reasons == {"a/large.png": "too large", "a/thin.png": "too small"}
  assert collected.unreadable == 1 and len(collected.splits["train"]) == 1


def test_a_folder_of_grey_images_is_grey(tmp_path):
  for i in range(3):
    path = tmp_path / "a" / f"{i}.png"
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((4, 5, 1), i, np.uint8))
  source = Source(root=str(tmp_path), name="pets", test_fraction=0.0)
  assert source.collect().image_shape == (None, None, 1)
  _image(tmp_path / "a" / "coloured.png", 7)
  assert source.collect().image_shape == (None, None, 3)


def test_names_that_are_no_utf8_are_spelt_out(tmp_path):
  folder = tmp_path / "a"
  _image(folder / "x.png", 1)
  try:
    (folder / "x.png").rename(folder / b"\xff.png".decode("utf-8", "surrogateescape"))
  except OSError:
    pytest.skip("this file system wants UTF-8")
  (entry,) = Source(root=str(tmp_path), name="p", test_fraction=0.0).collect().splits["train"]
  assert entry.key.encode() and entry.encoded()

"""Folders of images: classes, splits, and what is left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from pretrainjax.data.decode import decode
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.prepare.image.folder import Source
from pretrainjax.prepare.job import Job, write_dataset


class Written(NamedTuple):
  """What a set holds: labels by key, split by split; its classes, its shape and the report."""

  splits: dict[str, dict[str, int | None]]
  class_names: tuple[str, ...]
  shape: tuple
  report: dict


def read(name: str, data_dir: Path) -> Written:
  report = json.loads((data_dir / name / "1.0.0/prepared.json").read_text())
  sets = {split: PreparedSplit(name, split, data_dir) for split in report["written"]}
  splits = {}
  for split, found in sets.items():
    records = found.records(range(len(found)))
    keys = [record["filename"].bytes_list.value[0].decode() for record in records]
    labels = [found.label(record) for record in records]
    splits[split] = dict(zip(keys, labels, strict=True))
    assert all(decode(record["image"].bytes_list.value[0]).size for record in records)
  first = next(iter(sets.values()))
  return Written(splits, first.class_names, first.shape("image"), report)


@pytest.fixture
def write(tmp_path_factory) -> Callable[..., Written]:
  """Prepares a folder, and reads the set back."""

  def write(root: Path, **options) -> Written:
    data_dir = tmp_path_factory.mktemp("data")
    source = Source(root=str(root), **({"name": "pets"} | options))
    job = Job(source, source.preparation, max_dropped=1.0)
    write_dataset(job, data_dir=data_dir, source_facts={})
    return read(source.name, data_dir)

  return write


def _image(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  cv2.imwrite(str(path), np.full((4, 5, 3), value, np.uint8))


def test_classes_and_a_held_out_part(tmp_path, write):
  for i in range(10):
    _image(tmp_path / "cat" / f"{i}.png", i)
    _image(tmp_path / "dog" / f"{i}.png", 100 + i)
  written = write(tmp_path, test_fraction=0.2)
  assert written.class_names == ("cat", "dog")
  assert {s: len(found) for s, found in written.splits.items()} == {"train": 16, "test": 4}
  assert sorted(written.splits["test"].values()) == [0, 0, 1, 1]
  assert all(label == (key[:3] == "dog") for key, label in written.splits["train"].items())
  assert written.shape == (None, None, 3)


def test_splits_of_its_own_stay(tmp_path, write):
  _image(tmp_path / "train" / "cat" / "1.png", 1)
  _image(tmp_path / "val" / "cat" / "2.jpg", 2)
  assert {s: list(found) for s, found in write(tmp_path).splits.items()} == {
    "train": ["train/cat/1.png"],
    "validation": ["val/cat/2.jpg"],
  }


def test_a_folder_that_has_train_alone_has_a_part_held_out(tmp_path, write):
  for i in range(10):
    _image(tmp_path / "train" / "cat" / f"{i}.png", i)
  assert {s: len(found) for s, found in write(tmp_path).splits.items()} == {"train": 9, "test": 1}


def test_without_labels(tmp_path, write):
  _image(tmp_path / "1.png", 1)
  written = write(tmp_path, test_fraction=0.0)
  assert written.class_names == () and written.splits == {"train": {"1.png": None}}


def test_what_is_dropped_is_named(tmp_path, write):
  root = tmp_path / "root"
  _image(root / "a" / "good.png", 1)
  (root / "a" / "cut.png").write_bytes((root / "a" / "good.png").read_bytes()[:40])
  (root / "a" / "notes.txt").write_text("no image")
  _image(tmp_path / "secret.png", 9)
  (root / "a" / "link.png").symlink_to(tmp_path / "secret.png")
  written = write(root, test_fraction=0.0)
  assert dict(written.report["dropped_files"]) == {
    "a/cut.png": "not decodable",
    "a/notes.txt": "no image by its name",
    "a/link.png": "link out of the folder",
  }
  assert list(written.splits["train"]) == ["a/good.png"]
  source = Source(root=str(root), name="pets", test_fraction=0.0)
  with pytest.raises(UserError, match="1 of 2 images cannot be decoded.*not decodable"):
    write_dataset(Job(source, source.preparation), data_dir=tmp_path / "d", source_facts={})


def test_mistakes(tmp_path, write):
  with pytest.raises(UserError, match="is no folder"):
    write(tmp_path / "none")
  with pytest.raises(UserError, match="holds no image"):
    write(tmp_path)
  (tmp_path / "a.png").write_bytes(b"nonsense")
  with pytest.raises(UserError, match=r"holds no image; dropped 1 not decodable \(a.png\)"):
    write(tmp_path)
  with pytest.raises(ValueError, match="small letters"):
    Source(root=str(tmp_path), name="../pets")


def test_images_with_and_without_a_class_are_told_apart(tmp_path, write):
  _image(tmp_path / "cat" / "1.png", 1)
  _image(tmp_path / "2.png", 2)
  with pytest.raises(UserError, match=r"with a class \(cat/1.png\) and without \(2.png\)"):
    write(tmp_path)
  written = write(tmp_path, labels="none", test_fraction=0.0)
  assert written.class_names == ()
  assert written.splits["train"] == {"2.png": None, "cat/1.png": None}


def test_small_and_large_ones_are_dropped(tmp_path, monkeypatch, write):
  _image(tmp_path / "a" / "1.png", 1)
  cv2.imwrite(str(tmp_path / "a" / "large.png"), np.zeros((40, 40, 3), np.uint8))
  monkeypatch.setattr("pretrainjax.data.decode.MAX_PIXELS", 100)
  cv2.imwrite(str(tmp_path / "a" / "thin.png"), np.zeros((2, 9, 3), np.uint8))
  written = write(tmp_path, test_fraction=0.0, min_pixels=3)
  reasons = dict(written.report["dropped_files"])
  assert reasons == {"a/large.png": "too large", "a/thin.png": "too small"}
  assert len(written.splits["train"]) == 1


def test_a_folder_of_grey_images_is_grey(tmp_path, write):
  for i in range(3):
    path = tmp_path / "a" / f"{i}.png"
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((4, 5, 1), i, np.uint8))
  assert write(tmp_path, test_fraction=0.0).shape == (None, None, 1)
  _image(tmp_path / "a" / "coloured.png", 7)
  assert write(tmp_path, test_fraction=0.0).shape == (None, None, 3)


def test_names_that_are_no_utf8_are_spelt_out(tmp_path, write):
  folder = tmp_path / "a"
  _image(folder / "x.png", 1)
  try:
    (folder / "x.png").rename(folder / b"\xff.png".decode("utf-8", "surrogateescape"))
  except OSError:
    pytest.skip("this file system wants UTF-8")
  assert list(write(tmp_path, test_fraction=0.0).splits["train"]) == ["a/\\udcff.png"]

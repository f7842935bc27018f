"""Folders that are splits, told from folders that are classes."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.files.splits import has_splits, split_folders


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


def fill(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
  return root


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

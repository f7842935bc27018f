"""Folders of a path: which are splits, which are classes, and which may be either."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.files.layout import find_layout, folders_in_classes, parse_meanings


def placed(*paths: str, **options) -> dict[str, tuple | None]:
  """Split and class of each folder, "train cat"."""
  folders = [tuple(path.split("/")) if path else () for path in paths]
  layout = find_layout(folders, root="R", **options)
  return dict(zip(paths, map(layout.place, folders), strict=True))


def test_classes_without_splits():
  assert placed("cat", "dog", "") == {
    "cat": ("train", "cat"),
    "dog": ("train", "dog"),
    "": ("train", None),
  }
  assert placed("cat/deep", "dog")["cat/deep"] == ("train", "cat")
  assert placed("train", "plane", "car")["train"] == ("train", "train")  # classes of vehicles
  assert placed("Valid", "Invalid")["Valid"] == ("train", "Valid")
  assert placed("bullet_train", "crash_test")["crash_test"] == ("train", "crash_test")
  assert placed("freight train")["freight train"] == ("train", "freight train")


@pytest.mark.parametrize(
  ("train", "test", "wanted"),
  [
    ("train", "test", "test"),
    ("Train", "Test", "test"),
    ("TRAINING", "eval", "test"),
    ("training_set", "test_set", "test"),
    ("train", "valid", "validation"),
    ("train", "dev", "validation"),
    ("train2017", "val2017", "validation"),
    ("seg_train", "seg_test", "test"),
    ("pets/train", "pets/test", "test"),
    ("archive/pets/Train", "archive/pets/Val", "validation"),
    ("seg_train/seg_train", "seg_test/seg_test", "test"),
  ],
)
def test_splits_of_any_usual_name_and_depth(train, test, wanted):
  found = placed(f"{train}/cat", f"{train}/dog", f"{test}/cat")
  assert found[f"{train}/dog"] == ("train", "dog") and found[f"{test}/cat"] == (wanted, "cat")
  bare = placed(train, test)
  assert bare == {train: ("train", None), test: (wanted, None)}
  stray = placed(f"{train}/cat", f"{test}/cat", f"{test}")
  assert stray[test] == (wanted, None)


def test_splits_inside_of_classes():
  found = placed("cat/train", "cat/test", "dog/train")
  assert found["cat/test"] == ("test", "cat") and found["dog/train"] == ("train", "dog")


@pytest.mark.parametrize(
  "paths",
  [
    ("train/cat", "test/cat", "annotations"),
    ("Train/cat", "Test/cat", "extra/cat"),
    ("train", "test", "cat"),
    ("pets/train/cat", "pets/test/cat", "pets/more"),
    ("bullet_train/cat", "crash_test/dog"),
    ("cat/train", "cat/test", "cat/other"),
  ],
)
def test_what_may_be_either_is_refused_and_can_be_said(paths):
  with pytest.raises(UserError, match=r"holds splits .*--config.source.split_names=FOLDER=split"):
    placed(*paths)


def test_what_folders_are_can_be_said():
  meanings = parse_meanings(["annotations=none"])
  found = placed("train/cat", "test/cat", "annotations", meanings=meanings)
  assert found["annotations"] is None and found["test/cat"] == ("test", "cat")
  meanings = parse_meanings(["train=class", "test=class"])
  assert placed("train", "test", "cat", meanings=meanings)["test"] == ("train", "test")
  meanings = parse_meanings(["fold1=train", "fold2=test", "a=b=validation"])
  found = placed("fold1/cat", "fold2/cat", "a=b/cat", meanings=meanings)
  assert found["fold2/cat"] == ("test", "cat") and found["a=b/cat"] == ("validation", "cat")
  for wrong in ("fold1", "=test", "fold1=tset"):
    with pytest.raises(ValueError, match="expected FOLDER=one of train, validation, test"):
      parse_meanings([wrong])


def test_one_folder_that_holds_all_classes_is_no_class():
  found = placed("flowers/daisy", "flowers/rose")
  assert found["flowers/rose"] == ("train", "rose")
  assert placed("flowers/all/daisy", "flowers/all/rose")["flowers/all/rose"][1] == "rose"
  assert placed("flowers/daisy", "flowers")["flowers/daisy"][1] == "flowers"
  assert placed("a/b")["a/b"] == ("train", "a")


def test_the_level_of_classes_can_be_chosen_and_folders_in_them_are_told():
  paths = ("cat/indoors", "cat/outdoors", "dog")
  folders = [tuple(path.split("/")) for path in paths]
  layout = find_layout(folders, root="R")
  assert folders_in_classes(layout, folders) == ["cat/indoors", "cat/outdoors"]
  assert placed(*paths, class_level=2)["cat/outdoors"] == ("train", "outdoors")
  assert placed("train/a/cat", "test/b/cat", class_level=2)["test/b/cat"] == ("test", "cat")
  with pytest.raises(UserError, match="class_level: found 3, but folders of 'R' are 2 deep"):
    placed(*paths, class_level=3)
  layout = find_layout([("train", "cat"), ("test", "cat")], root="R")
  assert folders_in_classes(layout, [("train", "cat"), ("test", "cat")]) == []

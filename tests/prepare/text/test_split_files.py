"""Which split a file is of, by names."""

from pathlib import PurePath

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.text.split_files import SplitNames, split_names, stem


def names(*paths: str) -> SplitNames:
  return split_names(lambda: map(PurePath, paths), root="r")


def splits(*paths: str) -> list[str | None]:
  found = names(*paths)
  return [found.split_of(PurePath(path)) for path in paths]


def test_folders_decide_where_they_say_it_of_all_files():
  paths = ("Train/pos/test_1.txt", "Train/neg/2.txt", "TEST/pos/train_3.txt")
  assert names(*paths).by == "folders" and splits(*paths) == ["train", "train", "test"]
  assert names(*paths).splits == ("test", "train")
  assert "folders: TEST/pos/train_3.txt is test, Train/pos/test_1.txt is train" in (
    names(*paths).note()
  )


def test_files_decide_within_one_folder_whatever_it_is_called():
  paths = ("eval_data/train.csv.gz", "eval_data/test.csv.gz")
  assert names(*paths).by == "files" and splits(*paths) == ["train", "test"]
  paths = ("train/a.csv", "test.csv")
  assert names(*paths).by == "both" and splits(*paths) == ["train", "test"]


@pytest.mark.parametrize(
  "paths",
  [
    ("a.txt", "b.txt"),
    ("train/a.txt", "train/b.txt"),
    ("The last train.txt", "A test of time.txt", "Dune.txt"),
    ("train.jsonl",),
  ],
)
def test_names_that_say_nothing_leave_it_to_the_holdout(paths):
  assert names(*paths) == SplitNames() and set(splits(*paths)) == {None}


def test_what_is_held_out_alone_is_of_that_split():
  assert splits("test.jsonl", "b/test.jsonl") == ["test", "test"]


@pytest.mark.parametrize(
  "paths", [("test.txt", "x.txt"), ("imdb.csv", "imdb_test.csv"), ("test/a.txt", "novels/a.txt")]
)
def test_some_of_a_split_and_some_of_none_are_refused(paths):
  with pytest.raises(UserError, match="holds files of splits .*: test.* beside '.*splits=none"):
    names(*paths)


def test_stems():
  assert [stem(name) for name in ("a.jsonl", "b.train.csv.gz", "c.zst", "d")] == [
    "a",
    "b.train",
    "c",
    "d",
  ]
  assert [stem(name) for name in ("eng.testa", "eng.testb.gz")] == ["eng.testa", "eng.testb"]


def test_a_suffix_may_name_the_split():
  assert splits("eng.train", "eng.testa", "eng.testb.gz") == ["train", "validation", "test"]
  with pytest.raises(UserError, match="beside 'eng.testc'"):
    names("eng.train", "eng.testa", "eng.testc")

"""What is kept of raw images, who is held out, and what stands in a table twice."""

import sqlite3

import numpy as np
import pytest

from pretrainjax.prepare.image.example import Image, pixel_digest
from pretrainjax.prepare.image.table import ImageTable
from pretrainjax.prepare.stages.example_table import Duplicate
from pretrainjax.prepare.stages.holdout import Stratified


@pytest.fixture
def table():
  database = sqlite3.connect(":memory:")
  yield ImageTable(database)
  database.close()


def add(table, key: str, value: int, *, split="train", label="a", shape=(2, 2, 1)) -> None:
  digest = pixel_digest(np.full((2, 2, 1), value, np.uint8))
  table.add(Image(key, b"12345", label, split, shape, digest), offset=7)


def keys(table, split: str) -> set[str]:
  return {row.key for row in table.rows(split, start=0)}


def test_equal_pixels_in_two_splits_are_found_and_leave_train(table):
  for i in range(4):
    add(table, f"train/{i}", i)
  add(table, "again", 3)  # twice in one split is nobody's business
  add(table, "test/0", 3, split="test")
  add(table, "val/0", 3, split="validation")
  table.find_duplicates()
  assert list(table.duplicates()) == [
    Duplicate("train", "train/3", "validation", "val/0"),
    Duplicate("train", "again", "validation", "val/0"),
    Duplicate("validation", "val/0", "test", "test/0"),
  ]
  assert list(table.sizes()) == ["train", "validation", "test"]
  before = list(table.duplicates())
  table.drop_duplicates()
  assert {s: n for s, (n, _) in table.sizes().items()} == {"train": 3, "validation": 1, "test": 1}
  assert table.dropped_by_reason() == {"same pixels as an example of another split": 2}
  assert [key for key, _ in table.dropped()] == ["train: again", "train: train/3"]
  assert list(table.duplicates()) == before and table.num_duplicates() == 3


def test_images_of_unknown_pixels_equal_nothing(table):
  for split in ("train", "test"):
    table.add(Image(split, b"", None, split, (2, 2, 1), None), offset=0)
  table.find_duplicates()
  assert list(table.duplicates()) == []


def test_the_same_share_of_each_class_is_held_out_and_nothing_where_there_are_splits(table):
  for i in range(70):
    add(table, f"{i:02d}", i, label="abc"[min(i // 20, 2)])
  chosen = Stratified(0.1, seed=3)
  table.hold_out(chosen, ("a", "b", "c"))
  table.shuffle()
  held = keys(table, "test")
  labels = np.array([1] * 20 + [2] * 20 + [3] * 30)
  assert held == {f"{i:02d}" for i in np.flatnonzero(chosen.chosen(labels))} and len(held) == 7
  table.hold_out(chosen, ("a", "b", "c"))
  assert keys(table, "test") == held


def test_classes_are_named_in_order_and_mixtures_are_seen(table):
  for key, label in (("1", "b"), ("2", "a"), ("3", None), ("4", "b")):
    add(table, key, 0, label=label)
  assert table.class_names() == ("a", "b")
  assert table.with_and_without_class() == ("1", "3")


def test_the_shape_of_all(table):
  add(table, "1", 0, shape=(4, 5, 1))
  assert table.shape() == (4, 5, 1)
  add(table, "2", 0, shape=(4, 6, 3))
  assert table.shape() == (4, None, 3)
  add(table, "3", 0, shape=(None, None, 1))
  assert table.shape() == (None, None, 3)


def test_rows_come_in_the_order_of_a_hash_of_split_and_key(table):
  """tfds's own, so that a set prepared anew has its records where they were."""
  from tensorflow_datasets.core.hashing import Hasher

  names = [f"a\\b/{i}" for i in range(30)]
  for name in names:
    add(table, name, 0)
  table.shuffle()
  wanted = sorted(names, key=Hasher("train").hash_key)
  assert [row.key for row in table.rows("train", start=0)] == wanted != names
  (last,) = table.rows("train", start=29)
  assert last == (wanted[-1], "a", 7, 5)


def test_reasons_are_counted_most_frequent_first(table):
  for key, reason in (("a", "x"), ("b", "y"), ("c", "y")):
    table.drop(key, reason)
  assert list(table.dropped_by_reason().items()) == [("y", 2), ("x", 1)]
  assert table.num_dropped() == 3

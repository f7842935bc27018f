"""What is known of the images that were kept, in a table: memory does not grow with them.

Only the choice of what is held out takes memory: 16 bytes an image of the largest class.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from pretrainjax.prepare.image.example import Image
from pretrainjax.prepare.stages.holdout import Stratified

_SPLITS = ("train", "validation", "test")
_TWICE = "same pixels as an example of another split"


# What a share is held out of.
HeldOut = Literal["own splits", "each class", "all images", "nothing"]


class Row(NamedTuple):
  """One image that is to be written: its key, class, and where its file's bytes are."""

  key: str
  label: str | None
  offset: int
  size: int


class Duplicate(NamedTuple):
  """An image whose pixels are also in another split."""

  split: str
  key: str
  other_split: str
  other_key: str


class ImageTable:
  """Images in the order in which they came, and what was dropped."""

  def __init__(self, database: sqlite3.Connection):
    self._database = database
    database.execute(
      "CREATE TABLE IF NOT EXISTS image (place INTEGER PRIMARY KEY, key TEXT, class TEXT,"
      " split TEXT, height INTEGER, width INTEGER, channels INTEGER, digest BLOB, start INTEGER,"
      " size INTEGER, rank INTEGER, sorted BLOB, size_before INTEGER)"
    )
    database.execute("CREATE TABLE IF NOT EXISTS dropped (key TEXT, reason TEXT)")
    database.execute("CREATE TABLE IF NOT EXISTS remark (key TEXT, what TEXT, number REAL)")
    database.execute("CREATE TABLE IF NOT EXISTS duplicate (place INTEGER, other INTEGER)")

  def add(self, image: Image, offset: int) -> None:
    """Notes an image.

    Args:
      image: one that is kept.
      offset: the offset of its bytes, in the file of all.
    """
    self._database.execute(
      "INSERT INTO image (key, class, split, height, width, channels, digest, start, size,"
      " size_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      (
        *(image.key, image.label, image.split, *image.shape, image.digest),
        *(offset, len(image.data), image.size_before),
      ),
    )
    self._database.executemany(
      "INSERT INTO remark VALUES (?, ?, ?)", ((image.key, *remark) for remark in image.remarks)
    )

  def drop(self, key: str, reason: str) -> None:
    """Notes what is left out."""
    self._database.execute("INSERT INTO dropped VALUES (?, ?)", (key, reason))

  def with_and_without_class(self) -> tuple[str | None, str | None]:
    """The first image of either kind."""
    first = "SELECT key FROM image WHERE class IS {} ORDER BY place LIMIT 1"
    rows = (self._database.execute(first.format(null)).fetchone() for null in ("NOT NULL", "NULL"))
    labelled, bare = (row[0] if row else None for row in rows)
    return labelled, bare

  def class_names(self) -> tuple[str, ...]:
    """The names of all classes that images have, by spelling."""
    rows = self._database.execute(
      "SELECT DISTINCT class FROM image WHERE class IS NOT NULL ORDER BY class"
    )
    return tuple(row[0] for row in rows)

  def shape(self) -> tuple[int | None, int | None, int]:
    """The shape of all images; None where they differ, and 1 channel only where all have that."""
    row = self._database.execute(
      "SELECT MIN(height), MAX(height), COUNT(height), MIN(width), MAX(width), COUNT(width),"
      " MAX(channels), COUNT(*) FROM image"
    ).fetchone()
    sides = [
      low if low == high and count == row[7] else None for low, high, count in (row[:3], row[3:6])
    ]
    return sides[0], sides[1], row[6]

  def sizes(self) -> dict[str, tuple[int, int]]:
    """How many images there are and how many bytes they have, by split."""
    rows = self._database.execute(
      "SELECT split, COUNT(*), SUM(size) FROM image WHERE split IS NOT NULL GROUP BY split"
    )
    found = {split: (count, size) for split, count, size in rows}
    return {split: found[split] for split in sorted(found, key=_rank)}

  def hold_out(self, holdout: Stratified, class_names: tuple[str, ...]) -> HeldOut:
    """Moves a share of each class from "train" to "test", where "train" is all there is.

    Where that rounds to none of any class, the share is one of all images, but for those that are
    alone in their class.

    Args:
      holdout: the share of each class, and the seed of the choice.
      class_names: in order; () for images without classes.

    Returns:
      Of what the share is.
    """
    if list(self.sizes()) != ["train"]:
      return "own splits"
    self._database.execute("CREATE INDEX by_class ON image (class, place)")
    num_chosen = 0
    for number, name in enumerate((None, *class_names)):
      places = self._places("class IS ? ORDER BY place", name)
      num_chosen += self._move_to_test(places[holdout.places(number, len(places))])
    if num_chosen:
      return "each class"
    several = "class IN (SELECT class FROM image GROUP BY class HAVING COUNT(*) > 1)"
    places = self._places(f"{several} ORDER BY place")
    num_chosen = self._move_to_test(places[holdout.places(0, len(places))])
    return "all images" if num_chosen else "nothing"

  def _places(self, which: str, *values: str | None) -> Int[np.ndarray, " N"]:
    rows = self._database.execute(f"SELECT place FROM image WHERE {which}", values)
    return np.fromiter((row[0] for row in rows), np.int64)

  def _move_to_test(self, places: Int[np.ndarray, " K"]) -> int:
    self._database.executemany(
      "UPDATE image SET split = 'test' WHERE place = ?", ((int(p),) for p in np.sort(places))
    )
    return len(places)

  def find_duplicates(self) -> None:
    """Notes the images whose pixels are in a later split too: of "train", then of the others."""
    for rank, split in enumerate(self.sizes()):
      self._database.execute("UPDATE image SET rank = ? WHERE split = ?", (rank, split))
    self._database.execute("CREATE INDEX by_digest ON image (digest, rank, place)")
    self._database.execute(
      "INSERT INTO duplicate SELECT * FROM (SELECT place, (SELECT b.place FROM image b"
      " WHERE b.digest = a.digest AND b.rank > a.rank ORDER BY b.rank, b.place LIMIT 1) AS other"
      " FROM image a ORDER BY a.rank, a.place) WHERE other IS NOT NULL"
    )

  def drop_duplicates(self) -> None:
    """Leaves the training images out that another split holds too; test sets stay as they are."""
    twice = "split = 'train' AND place IN (SELECT place FROM duplicate)"
    self._database.execute(
      f"INSERT INTO dropped SELECT 'train: ' || key, ? FROM image WHERE {twice} ORDER BY key",
      (_TWICE,),
    )
    self._database.execute(f"UPDATE image SET split = NULL WHERE {twice}")

  def shuffle(self) -> None:
    """Orders the images of each split by a hash of their keys, as tfds does: any first part of a
    split is a fair sample of it.
    """
    self._database.create_function("place_of", 2, _place_of, deterministic=True)
    self._database.execute("UPDATE image SET sorted = place_of(split, key)")
    self._database.execute("CREATE INDEX by_order ON image (split, sorted, place)")

  def rows(self, split: str, *, start: int) -> Iterator[Row]:
    """The images of a split in the order of `shuffle`, but the first so many."""
    return map(
      Row._make,
      self._database.execute(
        "SELECT key, class, start, size FROM image WHERE split = ? ORDER BY sorted, place"
        " LIMIT -1 OFFSET ?",
        (split, start),
      ),
    )

  def dropped(self) -> Iterator[tuple[str, str]]:
    """Key and reason of everything that was left out."""
    return iter(self._database.execute("SELECT key, reason FROM dropped ORDER BY rowid"))

  def dropped_by_reason(self) -> dict[str, int]:
    """How many were dropped for each reason, most frequent first."""
    return dict(
      self._database.execute(
        "SELECT reason, COUNT(*) FROM dropped GROUP BY reason ORDER BY COUNT(*) DESC, MIN(rowid)"
      )
    )

  def remarks(self) -> Iterator[tuple[str, int, float]]:
    """What was remarked, of how many images, and the highest number; most frequent first."""
    return iter(
      self._database.execute(
        "SELECT what, COUNT(*), MAX(number) FROM remark GROUP BY what ORDER BY COUNT(*) DESC, what"
      )
    )

  def remarked(self) -> Iterator[tuple[str, str]]:
    """Key and remark of each image that has one."""
    return iter(self._database.execute("SELECT key, what FROM remark ORDER BY rowid"))

  def remarked_first(self, what: str, count: int) -> list[str]:
    """The first keys that have a remark."""
    rows = self._database.execute(
      "SELECT key FROM remark WHERE what = ? ORDER BY rowid LIMIT ?", (what, count)
    )
    return [row[0] for row in rows]

  def shrunk(self) -> tuple[int, int, int]:
    """How many images were shrunk, their files' bytes before that, and after."""
    return self._database.execute(
      "SELECT COUNT(*), IFNULL(SUM(size_before), 0), IFNULL(SUM(size), 0) FROM image"
      " WHERE size_before IS NOT NULL"
    ).fetchone()

  def classes_without(self, split: str) -> list[str]:
    """The classes of which no image is in a split."""
    rows = self._database.execute(
      "SELECT DISTINCT class FROM image WHERE class IS NOT NULL AND class NOT IN"
      " (SELECT class FROM image WHERE split = ? AND class IS NOT NULL) ORDER BY class",
      (split,),
    )
    return [row[0] for row in rows]

  def duplicates(self) -> Iterator[Duplicate]:
    """Those that `find_duplicates` found; what was then dropped is among them."""
    # Training images that were dropped are in no split any more.
    rows = self._database.execute(
      "SELECT COALESCE(a.split, 'train'), a.key, b.split, b.key FROM duplicate"
      " JOIN image a ON a.place = duplicate.place JOIN image b ON b.place = duplicate.other"
      " ORDER BY duplicate.rowid"
    )
    return map(Duplicate._make, rows)

  def num_dropped(self) -> int:
    """How many there are."""
    return self._database.execute("SELECT COUNT(*) FROM dropped").fetchone()[0]

  def num_duplicates(self) -> int:
    """How many there are."""
    return self._database.execute("SELECT COUNT(*) FROM duplicate").fetchone()[0]


def _rank(split: str) -> tuple[int, str]:
  return (_SPLITS.index(split) if split in _SPLITS else len(_SPLITS), split)


def _place_of(split: str | None, key: str) -> bytes | None:
  """tfds's hash of a key, salted by the split's name."""
  if split is None:
    return None
  data = split + key.replace("\\", "/")
  return hashlib.md5(data.encode(), usedforsecurity=False).digest()

"""What is known of the examples that were kept, in a table: memory does not grow with them.

Only the choice of what is held out takes memory: 16 bytes an example of the largest class.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from pretrainjax.prepare.contract import Remark
from pretrainjax.prepare.stages.holdout import Stratified

_SPLITS = ("train", "validation", "test")


# What a share is held out of.
HeldOut = Literal["own splits", "each class", "all images", "groups", "nothing"]


class Row(NamedTuple):
  """One example that is to be written: its key, class, and where its bytes are."""

  key: str
  label: str | None
  offset: int
  size: int


class Duplicate(NamedTuple):
  """An example whose content is also in another split."""

  split: str
  key: str
  other_split: str
  other_key: str


class ExampleTable:
  """Examples in the order in which they came, and what was dropped.

  Attributes:
    content: what of two examples is equal, in words.
    further: columns of examples of one kind, with their types.
  """

  content: ClassVar[str] = "content"
  further: ClassVar[Mapping[str, str]] = {}

  def __init__(self, database: sqlite3.Connection):
    self._database = database
    further = "".join(f", {name} {kind}" for name, kind in self.further.items())
    database.execute(
      "CREATE TABLE IF NOT EXISTS example (place INTEGER PRIMARY KEY, key TEXT, class TEXT,"
      f" split TEXT, digest BLOB, start INTEGER, size INTEGER, rank INTEGER, sorted BLOB{further})"
    )
    database.execute("CREATE TABLE IF NOT EXISTS dropped (key TEXT, reason TEXT)")
    database.execute("CREATE TABLE IF NOT EXISTS remark (key TEXT, what TEXT, number REAL)")
    database.execute("CREATE TABLE IF NOT EXISTS duplicate (place INTEGER, other INTEGER)")

  def insert(self, values: Mapping[str, Any], *, remarks: Iterable[Remark] = ()) -> None:
    """Adds an example.

    Args:
      values: by column: key, class, split, digest, and start and size of its bytes in the file of
        all; and those of `further`.
      remarks: what a person is told of it.
    """
    marks = ", ".join("?" * len(values))
    self._database.execute(
      f"INSERT INTO example ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
    )
    self._database.executemany(
      "INSERT INTO remark VALUES (?, ?, ?)", ((values["key"], *remark) for remark in remarks)
    )

  def drop(self, key: str, reason: str) -> None:
    """Notes an example that is left out, with the reason."""
    self._database.execute("INSERT INTO dropped VALUES (?, ?)", (key, reason))

  def with_and_without_class(self) -> tuple[str | None, str | None]:
    """Keys of the first example with a class and the first without; None where there is none."""
    first = "SELECT key FROM example WHERE class IS {} ORDER BY place LIMIT 1"
    rows = (self._database.execute(first.format(null)).fetchone() for null in ("NOT NULL", "NULL"))
    labelled, bare = (row[0] if row else None for row in rows)
    return labelled, bare

  def class_names(self) -> tuple[str, ...]:
    """The names of all classes that examples have, by spelling."""
    rows = self._database.execute(
      "SELECT DISTINCT class FROM example WHERE class IS NOT NULL ORDER BY class"
    )
    return tuple(row[0] for row in rows)

  def sizes(self) -> dict[str, tuple[int, int]]:
    """The number of examples and of their bytes, by split."""
    rows = self._database.execute(
      "SELECT split, COUNT(*), SUM(size) FROM example WHERE split IS NOT NULL GROUP BY split"
    )
    found = {split: (count, size) for split, count, size in rows}
    return {split: found[split] for split in sorted(found, key=_rank)}

  def hold_out(self, holdout: Stratified, class_names: tuple[str, ...]) -> HeldOut:
    """Moves a share of each class from "train" to "test", where "train" is all there is.

    Where that rounds to none of any class, the share is one of all examples, but for those that are
    alone in their class.

    Args:
      holdout: the share of each class and its seed.
      class_names: the names of the classes, in order; () for examples without classes.

    Returns:
      Of what the share is.
    """
    if list(self.sizes()) != ["train"]:
      return "own splits"
    self._database.execute("CREATE INDEX by_class ON example (class, place)")
    num_chosen = 0
    for number, name in enumerate((None, *class_names)):
      places = self._places("class IS ? ORDER BY place", name)
      num_chosen += self._move_to_test(places[holdout.places(number, len(places))])
    if num_chosen:
      return "each class"
    several = "class IN (SELECT class FROM example GROUP BY class HAVING COUNT(*) > 1)"
    places = self._places(f"{several} ORDER BY place")
    num_chosen = self._move_to_test(places[holdout.places(0, len(places))])
    return "all images" if num_chosen else "nothing"

  def _places(self, which: str, *values: str | None) -> Int[np.ndarray, " N"]:
    rows = self._database.execute(f"SELECT place FROM example WHERE {which}", values)
    return np.fromiter((row[0] for row in rows), np.int64)

  def _move_to_test(self, places: Int[np.ndarray, " K"]) -> int:
    self._database.executemany(
      "UPDATE example SET split = 'test' WHERE place = ?", ((int(p),) for p in np.sort(places))
    )
    return len(places)

  def find_duplicates(self) -> None:
    """Notes the examples whose content is in a later split too: of "train", then of the others."""
    for rank, split in enumerate(self.sizes()):
      self._database.execute("UPDATE example SET rank = ? WHERE split = ?", (rank, split))
    self._database.execute("CREATE INDEX by_digest ON example (digest, rank, place)")
    self._database.execute(
      "INSERT INTO duplicate SELECT * FROM (SELECT place, (SELECT b.place FROM example b"
      " WHERE b.digest = a.digest AND b.rank > a.rank ORDER BY b.rank, b.place LIMIT 1) AS other"
      " FROM example a ORDER BY a.rank, a.place) WHERE other IS NOT NULL"
    )

  def drop_duplicates(self) -> None:
    """Leaves the training images out that another split holds too; test sets stay as they are."""
    twice = "split = 'train' AND place IN (SELECT place FROM duplicate)"
    self._database.execute(
      f"INSERT INTO dropped SELECT 'train: ' || key, ? FROM example WHERE {twice} ORDER BY key",
      (f"same {self.content} as an example of another split",),
    )
    self._database.execute(f"UPDATE example SET split = NULL WHERE {twice}")

  def shuffle(self) -> None:
    """Orders the examples of each split by a hash of their keys, as tfds does: any first part of a
    split is a fair sample of it.
    """
    self._database.create_function("place_of", 2, _place_of, deterministic=True)
    self._database.execute("UPDATE example SET sorted = place_of(split, key)")
    self._database.execute("CREATE INDEX by_order ON example (split, sorted, place)")

  def rows(self, split: str, *, start: int) -> Iterator[Row]:
    """The examples of a split in the order of `shuffle`, but the first so many."""
    return map(
      Row._make,
      self._database.execute(
        "SELECT key, class, start, size FROM example WHERE split = ? ORDER BY sorted, place"
        " LIMIT -1 OFFSET ?",
        (split, start),
      ),
    )

  def dropped(self) -> Iterator[tuple[str, str]]:
    """The key and reason of everything that was left out."""
    return iter(self._database.execute("SELECT key, reason FROM dropped ORDER BY rowid"))

  def dropped_by_reason(self) -> dict[str, int]:
    """The number of dropped examples for each reason, most frequent first."""
    return dict(
      self._database.execute(
        "SELECT reason, COUNT(*) FROM dropped GROUP BY reason ORDER BY COUNT(*) DESC, MIN(rowid)"
      )
    )

  def remarks(self) -> Iterator[tuple[str, int, float]]:
    """What was remarked, of how many examples, and the highest number; most frequent first."""
    return iter(
      self._database.execute(
        "SELECT what, COUNT(*), MAX(number) FROM remark GROUP BY what ORDER BY COUNT(*) DESC, what"
      )
    )

  def remarked(self) -> Iterator[tuple[str, str]]:
    """Key and remark of each example that has one."""
    return iter(self._database.execute("SELECT key, what FROM remark ORDER BY rowid"))

  def remarked_first(self, what: str, count: int) -> list[str]:
    """The first keys that have a remark."""
    rows = self._database.execute(
      "SELECT key FROM remark WHERE what = ? ORDER BY rowid LIMIT ?", (what, count)
    )
    return [row[0] for row in rows]

  def classes_without(self, split: str) -> list[str]:
    """The classes of which no example is in a split."""
    rows = self._database.execute(
      "SELECT DISTINCT class FROM example WHERE class IS NOT NULL AND class NOT IN"
      " (SELECT class FROM example WHERE split = ? AND class IS NOT NULL) ORDER BY class",
      (split,),
    )
    return [row[0] for row in rows]

  def duplicates(self) -> Iterator[Duplicate]:
    """The examples that `find_duplicates` found, those that were then dropped among them."""
    # Training images that were dropped are in no split any more.
    rows = self._database.execute(
      "SELECT COALESCE(a.split, 'train'), a.key, b.split, b.key FROM duplicate"
      " JOIN example a ON a.place = duplicate.place JOIN example b ON b.place = duplicate.other"
      " ORDER BY duplicate.rowid"
    )
    return map(Duplicate._make, rows)

  def num_dropped(self) -> int:
    """The number of examples that were left out."""
    return self._database.execute("SELECT COUNT(*) FROM dropped").fetchone()[0]

  def num_duplicates(self) -> int:
    """The number of examples that `find_duplicates` found."""
    return self._database.execute("SELECT COUNT(*) FROM duplicate").fetchone()[0]


def _rank(split: str) -> tuple[int, str]:
  return (_SPLITS.index(split) if split in _SPLITS else len(_SPLITS), split)


def _place_of(split: str | None, key: str) -> bytes | None:
  """tfds's hash of a key, salted by the split's name."""
  if split is None:
    return None
  data = split + key.replace("\\", "/")
  return hashlib.md5(data.encode(), usedforsecurity=False).digest()

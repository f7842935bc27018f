"""What is known of the sounds that were kept: as of all examples, and what is said of them."""

import json
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from pretrainjax.data.sound import RATE
from pretrainjax.prepare.audio.example import Sound
from pretrainjax.prepare.stages.example_table import ExampleTable, HeldOut
from pretrainjax.prepare.stages.holdout import Stratified

_SHOWN = 5


class SoundRow(NamedTuple):
  """One sound that is to be written.

  Attributes:
    key: the key of the sound.
    label: the name of its class; None without one.
    offset: where its samples are, in the file of all.
    size: how many bytes they have.
    text: its transcript; None without one.
    strings: further fields by name.
    group: the group that it is in.
  """

  key: str
  label: str | None
  offset: int
  size: int
  text: str | None
  strings: Mapping[str, str]
  group: str


class AudioTable(ExampleTable):
  """Sounds in the order in which they came, and what was dropped."""

  content = "samples"
  further: ClassVar = {"together": "TEXT", "text": "TEXT", "strings": "TEXT"}

  def add(self, sound: Sound, offset: int) -> None:
    """Adds a sound to the table.

    Args:
      sound: one that is kept.
      offset: the offset of its bytes, in the file of all.
    """
    facts = sound.facts
    values = {
      "key": sound.key,
      "class": facts.label,
      "split": facts.split,
      "digest": sound.digest,
      "start": offset,
      "size": sound.audio.nbytes,
      "together": sound.group or sound.key,
      "text": facts.text,
      "strings": json.dumps(dict(facts.strings)),
    }
    self.insert(values, remarks=sound.remarks)

  def sounds(self, split: str, *, start: int) -> Iterator[SoundRow]:
    """The sounds of a split in the order of `shuffle`, but the first so many."""
    rows = self._database.execute(
      "SELECT key, class, start, size, text, strings, together FROM example WHERE split = ?"
      " ORDER BY sorted, place LIMIT -1 OFFSET ?",
      (split, start),
    )
    for *plain, strings, group in rows:
      yield SoundRow(*plain, json.loads(strings), group)

  def hold_out(self, holdout: Stratified, class_names: tuple[str, ...]) -> HeldOut:
    """As of all examples, but that a group stays together.

    Where each group is of one class, groups are chosen class by class, else of all. At least one
    group stays and one goes, where there are two.
    """
    if list(self.sizes()) != ["train"]:
      return "own splits"
    count = self._count("SELECT COUNT(DISTINCT together) FROM example WHERE split = 'train'")
    if count == self._count("SELECT COUNT(*) FROM example"):  # each is alone
      return super().hold_out(holdout, class_names)
    pure = count == self._count(
      "SELECT COUNT(*) FROM (SELECT DISTINCT together, class FROM example)"
    )
    chosen: list[str] = []
    if pure and class_names:
      for number, name in enumerate(class_names):
        chosen += self._groups("class IS ?", name, holdout, number + 1, always=False)
    chosen = chosen or self._groups("1 OR class IS ?", None, holdout, 0, always=True)
    self._database.executemany(
      "UPDATE example SET split = 'test' WHERE together = ?", ((group,) for group in chosen)
    )
    return "groups" if chosen else "nothing"

  def _groups(
    self, which: str, name: str | None, holdout: Stratified, number: int, *, always: bool
  ) -> list[str]:
    """Groups at random until they hold the share, the last one only where that comes closer."""
    rows = self._database.execute(
      f"SELECT together, COUNT(*) FROM example WHERE {which} GROUP BY together ORDER BY MIN(place)",
      (name,),
    ).fetchall()
    rng = np.random.Generator(np.random.Philox(key=[holdout.seed, number]))
    wanted, found, chosen = holdout.fraction * sum(count for _, count in rows), 0, []
    for place in rng.permutation(len(rows))[: len(rows) - 1]:
      group, count = rows[place]
      if found + count / 2 > wanted and (chosen or not always):
        break
      chosen.append(group)
      found += count
    return chosen if wanted else []

  def groups_in_two_splits(self) -> tuple[int, list[str]]:
    """How many groups are in more than one split, and the first of them."""
    rows = self._database.execute(
      "SELECT together FROM example WHERE split IS NOT NULL GROUP BY together"
      " HAVING COUNT(DISTINCT split) > 1 ORDER BY together"
    ).fetchall()
    return len(rows), [row[0] for row in rows[:_SHOWN]]

  def group_numbers(self) -> None:
    """Numbers the groups, for `number_of`."""
    self._database.execute(
      "CREATE TABLE IF NOT EXISTS numbered (number INTEGER PRIMARY KEY, name TEXT UNIQUE)"
    )
    self._database.execute(
      "INSERT OR IGNORE INTO numbered (name)"
      " SELECT DISTINCT together FROM example ORDER BY together"
    )

  def number_of(self, group: str) -> int:
    """The number of a group, from 1."""
    return self._count("SELECT number FROM numbered WHERE name = ?", group)

  @property
  def has_groups(self) -> bool:
    """Whether any group holds several sounds."""
    return self._count("SELECT COUNT(DISTINCT together) < COUNT(*) FROM example") == 1

  def with_and_without_text(self) -> tuple[str | None, str | None]:
    """Keys of the first sound with a transcript and the first without; None for none."""
    first = "SELECT key FROM example WHERE text IS {} ORDER BY place LIMIT 1"
    rows = (self._database.execute(first.format(null)).fetchone() for null in ("NOT NULL", "NULL"))
    spoken, bare = (row[0] if row else None for row in rows)
    return spoken, bare

  def texts(self, split: str | None = None) -> Iterator[str]:
    """The transcripts of a split, or of all that are written, in their order."""
    where = "split IS NOT NULL" if split is None else "split = ?"
    rows = self._database.execute(
      f"SELECT text FROM example WHERE {where} ORDER BY place", () if split is None else (split,)
    )
    return (row[0] for row in rows)

  def transcribers(self) -> dict[str, int]:
    """Who or what wrote transcripts, where that is told, and how many."""
    rows = self._database.execute(
      "SELECT json_extract(strings, '$.transcriber') AS who, COUNT(*) FROM example"
      " WHERE split IS NOT NULL AND who IS NOT NULL GROUP BY who ORDER BY COUNT(*) DESC, who"
    )
    return dict(rows.fetchall())

  def string_names(self) -> list[str]:
    """The names of further fields that any sound has."""
    rows = self._database.execute(
      "SELECT DISTINCT json_each.key FROM example, json_each(example.strings) ORDER BY 1"
    )
    return [row[0] for row in rows]

  def seconds(self) -> dict[str, float]:
    """The seconds of sound of each split."""
    return {split: size / (2 * RATE) for split, (_, size) in self.sizes().items()}

  def longest(self) -> float:
    """Seconds of the longest sound."""
    return self._count("SELECT MAX(size) FROM example WHERE split IS NOT NULL") / (2 * RATE)

  def _count(self, query: str, *values: str) -> int:
    return self._database.execute(query, values).fetchone()[0]

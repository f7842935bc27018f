"""What tables and texts beside say of the sound files of a folder, kept on disk."""

import contextlib
import json
import os
import posixpath
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pretrainjax.data.records import lines
from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.audio.columns import AudioFields
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.split_names import split_of_name
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.formats import RECORDS, Reader
from pretrainjax.prepare.text.streams import NoText, open_text
from pretrainjax.untrusted import BadFile, read_text

TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".lab")
# Names of Kaldi's files, which have no suffix.
KALDI = ("text", "wav.scp", "utt2spk", "segments")
_LIBRISPEECH = ".trans.txt"
_LONGEST_TEXT = 1 << 16  # bytes of a transcript in a file of its own
_NOT_FOUND, _TWICE = "names no sound file that is there", "names a sound file that was named before"
_ORDER = {"test": 0, "validation": 1, "train": 2, None: 3}


class Metadata:
  """The sound files of a folder by their names, and what is said of them.

  Attributes:
    notes: what was made of the tables, for the report.
    has: which facts any file has: "label", "text", "split", and names of strings.
  """

  def __init__(self, database: sqlite3.Connection, root: Path):
    self._database, self._root = database, root
    self.notes: list[str] = []
    self.has: set[str] = set()
    database.execute("CREATE TABLE sound (path TEXT PRIMARY KEY, name TEXT, stem TEXT)")
    database.execute("CREATE TABLE wrong (key TEXT, reason TEXT, fault INTEGER)")
    database.execute("CREATE TABLE said (path TEXT PRIMARY KEY, facts TEXT, source TEXT)")

  # --- the files ------------------------------------------------------------------------------

  def add_sound(self, path: str) -> None:
    """Notes a sound file, by its path below the root."""
    name = posixpath.basename(path)
    values = (path, name, name.rpartition(".")[0] or name)
    self._database.execute("INSERT INTO sound VALUES (?, ?, ?)", values)

  def index(self) -> None:
    """Makes names quick to find, once all files are noted."""
    self._database.execute("CREATE INDEX by_name ON sound (name)")
    self._database.execute("CREATE INDEX by_stem ON sound (stem)")

  def sound_named(self, value: Any, *, folder: str) -> str | None:
    """The sound file that a value of a table names; None for none, or for several.

    Args:
      value: a path below the table's folder or the root, on another machine too, or a name.
      folder: the table's folder below the root.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > 4096:
      return None
    parts = PurePosixPath(value.strip().replace("\\", "/")).parts
    for start in range(len(parts)):
      tail = posixpath.join(*parts[start:])
      for base in dict.fromkeys((folder, "")):
        found = posixpath.normpath(posixpath.join(base, tail))
        if self._rows("path", found):
          return found
    for column in ("name", "stem"):
      paths = self._rows(column, parts[-1] if parts else "")
      if len(paths) == 1:
        return paths[0]
    return None

  def _rows(self, column: str, value: str) -> list[str]:
    query = f"SELECT path FROM sound WHERE {column} = ? LIMIT 2"
    try:
      return [row[0] for row in self._database.execute(query, (value,))]
    except UnicodeEncodeError:  # half of a surrogate pair
      return []

  # --- what is said ---------------------------------------------------------------------------

  def facts_of(self, path: str) -> Facts | None:
    """What is said of a sound file; None where it is not named."""
    row = self._database.execute("SELECT facts FROM said WHERE path = ?", (path,)).fetchone()
    return None if row is None else Facts(*json.loads(row[0]))

  def complain(self, key: str, reason: str, *, fault: bool = True) -> None:
    """Notes a record or a table that says nothing of any file."""
    values = (printable(key), reason, fault)
    self._database.execute("INSERT INTO wrong VALUES (?, ?, ?)", values)

  def wrong(self) -> Iterator[Unreadable]:
    """What was noted by `complain`."""
    for key, reason, fault in self._database.execute("SELECT * FROM wrong ORDER BY rowid"):
      yield Unreadable(key, reason, fault=bool(fault))

  def num_values(self, name: str) -> int:
    """How many values a further field has, at most two are counted."""
    query = (
      "SELECT DISTINCT value FROM said, json_each(json_extract(facts, '$[3]'))"
      " WHERE key = ? LIMIT 2"
    )
    return len(self._database.execute(query, (name,)).fetchall())

  def add(self, value: Any, facts: Facts, *, table: str, place: int | str) -> None:
    """Notes what a record of a table says of the file that it names."""
    path = self.sound_named(value, folder=posixpath.dirname(table))
    facts = facts._replace(strings={k: v for k, v in facts.strings.items() if v})
    if path is None:
      self.complain(f"{table}:{place}", _NOT_FOUND, fault=False)
    elif not self._insert(path, facts, table):
      self.complain(f"{table}:{place}", _TWICE, fault=False)

  def _insert(self, path: str, facts: Facts, source: str) -> bool:
    """False where the same table named the file before; another table's word stands."""
    known = self._database.execute("SELECT source FROM said WHERE path = ?", (path,)).fetchone()
    if known is not None:
      return known[0] != source
    self._database.execute("INSERT INTO said VALUES (?, ?, ?)", (path, json.dumps(facts), source))
    named = {"label": facts.label, "text": facts.text, "split": facts.split}
    self.has |= {name for name, value in named.items() if value is not None} | set(facts.strings)
    return True


def read_metadata(metadata: Metadata, tables: list[str], *, fields: AudioFields) -> None:
  """Reads all tables and texts that say something of the sound files.

  Args:
    metadata: of the folder, with its sound files noted.
    tables: paths below the root of what may say something.
    fields: which column is what.

  Raises:
    UserError: for columns that were named and are not there; Kaldi's segments.
  """
  root = metadata._root
  names = set(tables)
  # Those of splits first, and of those the ones held out: a file is of the split that names it.
  for table in sorted(tables, key=lambda t: (_ORDER[split_of_name(_stem(t))], t)):
    name, folder = posixpath.basename(table), posixpath.dirname(table)
    if name.endswith(_LIBRISPEECH):
      _librispeech(metadata, root, table)
    elif name == "text" and posixpath.join(folder, "wav.scp") in names:
      _kaldi(metadata, root, folder, names)
    elif name not in KALDI and not _beside(metadata, root, table):
      _table(metadata, root, table, fields)


def facts_in_table(table: Path, names: Iterable[str]) -> dict[str, Facts]:
  """What one table says of sound files that lie elsewhere.

  Args:
    table: a table of any kind that `read_metadata` reads.
    names: the files, by their paths below a folder of their own.

  Raises:
    UserError: for a table that is not there, or has no transcript of any of them.
  """
  if not table.is_file():
    raise UserError(f"--config.source.transcripts: '{table}' is no file")
  with contextlib.closing(sqlite3.connect("")) as database:
    metadata, names = Metadata(database, table.parent), list(names)
    for name in names:
      metadata.add_sound(name)
    metadata.index()
    _table(metadata, table.parent, table.name, AudioFields())
    if "text" not in metadata.has:
      raise UserError(
        f"--config.source.transcripts: '{table}' has no transcript of any sound here, such as "
        f"{next(iter(names), 'none')}"
      )
    found = ((name, metadata.facts_of(name)) for name in names)
    return {name: facts for name, facts in found if facts is not None}


def _stem(table: str) -> str:
  return posixpath.basename(table).partition(".")[0]


def _beside(metadata: Metadata, root: Path, table: str) -> bool:
  """Whether a text is called as a sound file in its folder is: then it is the transcript."""
  stem, _, suffix = table.rpartition(".")
  if suffix not in ("txt", "lab"):
    return False
  folder, name = posixpath.split(stem)
  found = metadata._rows("stem", name)
  here = [path for path in found if posixpath.dirname(path) == folder]
  if not here:
    return suffix == "lab"
  try:
    text = " ".join(read_text(root / table, limit=_LONGEST_TEXT).split())
  except BadFile as error:
    metadata.complain(table, f"transcript that {error.reason}")
    return True
  if text:
    metadata.add(here[0], Facts(text=text.removeprefix("\ufeff")), table=table, place=1)
  return True


def _librispeech(metadata: Metadata, root: Path, table: str) -> None:
  """Lines of "SPEAKER-CHAPTER-NUMBER WORDS"; the files lie beside."""
  for number, line in _lines(metadata, root, table):
    name, _, text = line.partition(" ")
    facts = Facts(text=text.strip() or None, strings={"speaker": name.split("-")[0]})
    metadata.add(posixpath.join(posixpath.dirname(table), name), facts, table=table, place=number)


def _kaldi(metadata: Metadata, root: Path, folder: str, names: set[str]) -> None:
  """`wav.scp`, `text` and perhaps `utt2spk`; a pipe in the place of a path is never run."""
  if (segments := posixpath.join(folder, "segments")) in names:
    raise UserError(
      f"--source: '{root / segments}': Kaldi's segments are not read, expected a file an utterance"
    )
  text, speakers = (
    dict(_pairs(metadata, root, posixpath.join(folder, name))) if is_there else {}
    for name, is_there in (("text", True), ("utt2spk", posixpath.join(folder, "utt2spk") in names))
  )
  split = split_of_name(posixpath.basename(folder))
  table = posixpath.join(folder, "wav.scp")
  for number, (name, path) in enumerate(_pairs(metadata, root, table), 1):
    if path.rstrip().endswith("|"):
      metadata.complain(f"{table}:{number}", "a command in place of a path, which is not run")
      continue
    strings = {"speaker": speakers[name]} if name in speakers else {}
    facts = Facts(text=text.get(name) or None, split=split, strings=strings)
    metadata.add(path, facts, table=table, place=number)


def _pairs(metadata: Metadata, root: Path, table: str) -> Iterator[tuple[str, str]]:
  for _, line in _lines(metadata, root, table):
    name, _, rest = line.partition(" ")
    yield name, rest.strip()


def _lines(metadata: Metadata, root: Path, table: str) -> Iterator[tuple[int, str]]:
  try:
    with open_text(root / table, encoding="utf-8") as stream:
      for number, line in enumerate(lines(stream.utf8), 1):
        try:
          text = "" if line is None else line.decode().strip()
        except UnicodeDecodeError:
          line = None
        if line is None:
          metadata.complain(f"{table}:{number}", "not UTF-8, or too long")
        elif text:
          yield number, text
  except (NoText, BadFile, OSError) as error:
    metadata.complain(table, str(error))


def _table(metadata: Metadata, root: Path, table: str, fields: AudioFields) -> None:
  """Records, if any of their columns names sound files."""
  reader, folder = Reader(Fields()), posixpath.dirname(table)
  if reader.kind(root / table) not in RECORDS:
    return
  rows = reader.head(root / table)
  if rows and fields.are_named_in(rows[0]):
    reader = Reader(Fields(), header=True)
    rows = reader.head(root / table)
  if not rows:
    return

  def names_file(value: Any) -> bool:
    return metadata.sound_named(value, folder=folder) is not None

  found = fields.completed(rows[:50], names_file=names_file, file=table)
  if found is None:
    return
  metadata.notes.append(f"{found.described()}, as in {printable(table)}")
  split = split_of_name(_stem(table))
  with contextlib.suppress(NoText, OSError):  # what is left of it is told by `wrong`
    for place, record in reader.raw_records(root / table):
      if isinstance(record, dict):
        facts = found.facts(record)
        facts = facts._replace(split=facts.split or split)
        metadata.add(record.get(found.path or ""), facts, table=table, place=place)
      elif isinstance(record, str):
        metadata.complain(f"{table}:{place}", record)


def path_of(path: Path) -> str:
  """A path below the root as it is noted here; names that are no UTF-8 are spelt out."""
  return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")

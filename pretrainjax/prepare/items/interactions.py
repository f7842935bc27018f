"""A log of one's own: which user did something with which item, and when."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.walk import File, Listing, open_listing
from pretrainjax.prepare.items.columns import EventFields, TableFields
from pretrainjax.prepare.items.log_files import ATOMIC, SUFFIXES, LogFile
from pretrainjax.prepare.items.preparation import InteractionPreparation
from pretrainjax.prepare.items.reading import described, events_of
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.prepare.text.streams import COMPRESSED
from pretrainjax.user_path import user_path

_LOGS = (*SUFFIXES, *COMPRESSED)
Kind = Literal["item", "user"]


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads logs of interactions: .csv, .tsv, .jsonl, .parquet, and RecBole's .inter.

  Rows are taken in the order of the files, and of rows in them; where times are equal, or there are
  none, that order is the order of the events.

  Attributes:
    root: the log, or the folder that holds it in several files of the same columns.
    name: the name of the dataset, in small letters, digits and underscores.
    fields: which column of the log is what; where none is named it is guessed, and told.
    items: a table of the items; None takes RecBole's .item beside an .inter, where there is one.
    item_fields: which column of it is what.
    users: a table of the users, likewise.
    user_fields: which column of it is what.
    header: whether the first row of a table names its columns; None goes by what stands in it.
    encoding: the encoding of files of text without a byte order mark.
  """

  root: str = ""
  name: str = "interactions"
  fields: EventFields = EventFields()
  items: str | None = None
  item_fields: TableFields = TableFields()
  users: str | None = None
  user_fields: TableFields = TableFields()
  header: bool | None = None
  encoding: str = "utf-8"

  preparation = InteractionPreparation()

  def __post_init__(self):
    check_name(self.name)

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields the log, and its tables before it.

    Raises:
      UserError: for a place that is not there or holds no log, and columns that are not found.
    """
    root = user_path(self.root)
    if not self.root or not os.path.exists(root):
      raise UserError(f"--source: '{self.root}' is no file and no folder")
    with open_listing(suffixes=_LOGS, what="log") as listing:
      listing.add(root)
      tables = self._tables(root, listing)
      logs = [path for path in _files(root, listing) if path not in [t.file.path for t in tables]]
      if not logs:
        kinds = ", ".join(SUFFIXES)
        raise UserError(f"--source: '{root}' holds no log, expected {kinds}; .gz and .zst too")
      fields, notes = self._fields(logs)
      opened = _Opened(self, root, logs, fields, tables)
      yield Corpus(
        origin=str(root),
        identity=listing.identity() + "".join(_stamp(table.file.path) for table in tables),
        size=sum(path.stat().st_size for path in opened.paths),
        parts=lambda: opened.parts(listing),
        notes=(*notes, *(table.note for table in tables)),
      )

  def file(self, path: Path) -> LogFile:
    """A file as the source says it is written."""
    return LogFile(path, self.encoding, self.header)

  def _fields(self, logs: list[Path]) -> tuple[EventFields, list[str]]:
    """The columns of the logs, which are those of the first, and a note."""
    heads = {path: self.file(path).head() for path in logs}
    first, rows = next(((p, h) for p, h in heads.items() if h), (logs[0], []))
    if not rows:
      raise UserError(f"--source: '{first}' holds no row that can be read")
    fields = self.fields.completed(rows, file=first.name)
    for path, head in heads.items():
      missing = [n for n in fields.names() if head and not any(n in row for row in head)]
      if missing:
        raise UserError(
          f"--source: '{path.name}' has no column '{missing[0]}' as '{first.name}' has; name the "
          "log itself, or its tables by --config.source.items and --config.source.users"
        )
    return fields, [f"{fields.described(rows)}, as in {first.name}"]

  def _tables(self, root: Path, listing: Listing) -> list["_Table"]:
    found = []
    for of, named, fields in (
      ("item", self.items, self.item_fields),
      ("user", self.users, self.user_fields),
    ):
      path = user_path(named) if named is not None else _beside(root, listing, f".{of}")
      if path is None:
        continue
      if not os.path.isfile(path):
        raise UserError(f"--config.source.{of}s: '{named}' is no file")
      file = self.file(path)
      rows = file.head()
      columns = list(dict.fromkeys(name for row in rows for name in row))
      key = f"config.source.{of}_fields"
      whole = fields.completed(columns, of=of, file=path.name, key=key)
      found.append(_Table(of, file, whole, f"{of}s: {whole.described()}, as in {path.name}"))
    return found


class _Table(NamedTuple):
  """A table of items or users."""

  of: Kind
  file: LogFile
  fields: TableFields
  note: str


class _Opened(NamedTuple):
  """A log whose columns are known."""

  source: Source
  root: Path
  logs: list[Path]
  fields: EventFields
  tables: list[_Table]

  @property
  def paths(self) -> list[Path]:
    """All files that are read."""
    return [*(table.file.path for table in self.tables), *self.logs]

  def parts(self, listing: Listing) -> Iterator[Part]:
    """The tables, then the logs in their order, then what was passed over."""
    for table in self.tables:
      file, key = table.file, printable(table.file.path.name)
      size = file.path.stat().st_size
      yield Part(key, size, lambda t=table, key=key: described(t.file, t.fields, of=t.of, key=key))
    for path in self.logs:
      file, key = self.source.file(path), self._key(path)
      size = path.stat().st_size
      yield Part(key, size, lambda f=file, key=key: events_of(f, self.fields, key=key))
    yield Part(str(self.root), 0, lambda: self._passed_over(listing))

  def _key(self, path: Path) -> str:
    inside = path.relative_to(self.root).as_posix() if path != self.root else path.name
    return printable(inside)

  def _passed_over(self, listing: Listing) -> Iterator[Unreadable]:
    known = {*self.paths}
    for item in listing.items():
      if isinstance(item, File):
        path = self.root / item.path if item.path.parts else self.root
        if path not in known:
          yield Unreadable(printable(str(item.path)), "no log by its name", fault=False)
      elif self.root / item.key not in known:
        yield item


def _files(root: Path, listing: Listing) -> list[Path]:
  """The logs below a folder, or the file itself."""
  paths = [root / i.path if i.path.parts else root for i in listing.items() if isinstance(i, File)]
  return [
    path for path in paths if LogFile(path).kind is not None and path.suffix not in ATOMIC[1:]
  ]


def _beside(root: Path, listing: Listing, suffix: str) -> Path | None:
  """RecBole's table beside its log; None where there is none, or several."""
  logs = [path for path in _files(root, listing) if LogFile(path).suffix == ATOMIC[0]]
  found = {path.with_suffix(suffix) for path in logs if path.suffix == ATOMIC[0]}
  there = [path for path in found if path.is_file()]
  return there[0] if len(there) == 1 else None


def _stamp(path: Path) -> str:
  found = path.stat()
  return f" {path.name} {found.st_size} {found.st_mtime_ns}"

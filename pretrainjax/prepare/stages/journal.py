"""What a run has done so far, in one sqlite file, so that a run that was killed can go on."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = "journal.sqlite"


class Journal:
  """Facts by name, and tables of the stages that need them.

  When the process dies, everything since the last `commit` is lost together.

  Attributes:
    database: the connection to the database that holds it.
  """

  def __init__(self, database: sqlite3.Connection):
    self.database = database
    database.execute("CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT)")

  def get(self, name: str, default: Any = None) -> Any:
    """The fact of that name, or `default` where there is none."""
    row = self.database.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])

  def put(self, name: str, value: Any) -> None:
    """Notes a fact, to be kept by the next `commit`."""
    self.database.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, json.dumps(value)))

  def begin(self) -> None:
    """Lets everything until the next `commit` last together, new tables and indices too."""
    if not self.database.in_transaction:  # sqlite3 begins one at the first row, and no sooner
      self.database.execute("BEGIN")

  def commit(self) -> None:
    """Makes everything since the last one last."""
    self.database.commit()


@contextlib.contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
  """Yields the journal in `folder`, as the last commit left it."""
  database = sqlite3.connect(folder / FILE)
  try:
    # Begins transactions at the first change. The log is written ahead: a commit is one fsync.
    database.execute("PRAGMA journal_mode = WAL")
    yield Journal(database)
    database.rollback()
  finally:
    database.close()

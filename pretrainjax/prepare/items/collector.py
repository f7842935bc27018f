"""Takes rows of a log, many at once, and keeps them as numbers; and what tables say of items."""

import dataclasses
import json
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pretrainjax.errors import UserError, nearest
from pretrainjax.prepare.contract import Remark
from pretrainjax.prepare.items.events import EVENT, Described, Events
from pretrainjax.prepare.items.ids import Ids
from pretrainjax.prepare.items.sorting import RAW
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.tally import Tally

_LAST = 4_102_444_800 * 1_000_000  # the year 2100
_MOST_KINDS = 100  # that are counted one by one


@dataclasses.dataclass
class EventTally(Tally):
  """Counts of events, beside those of all examples.

  Attributes:
    kinds: the number of events of each kind that was read, of the first kinds.
    remarks: the number of events that are kept and that a person should know of, by what it is.
    last_time: the time of the last row; None before the first.
    has_times: whether rows have times; None before the first.
    described: the number of rows of tables, by "item" and "user".
  """

  kinds: dict[str, int] = dataclasses.field(default_factory=dict)
  remarks: dict[str, int] = dataclasses.field(default_factory=dict)
  last_time: int | None = None
  has_times: bool | None = None
  described: dict[str, int] = dataclasses.field(default_factory=dict)

  def remark(self, what: str, count: int) -> None:
    """Counts events that are kept and that a person should know of."""
    if count:
      self.remarks[what] = self.remarks.get(what, 0) + count


class EventCollector:
  """Keeps events in one file, ids in files of their own, and descriptions in a table."""

  def __init__(
    self,
    folder: Path,
    files: Appended,
    *,
    database: sqlite3.Connection,
    tally: EventTally,
    min_rating: float | None,
    event_types: tuple[str, ...],
  ):
    """Goes on with what the files hold.

    Args:
      folder: the work folder.
      files: the files that it can append to.
      database: the journal's.
      tally: counts of what is kept and left out.
      min_rating: the lowest rating that is kept; None keeps all.
      event_types: the kinds of events that are kept; () keeps all.
    """
    self._files, self._database, self._tally = files, database, tally
    self._min_rating, self._event_types = min_rating, event_types
    self._users, self._items = (Ids(name, folder, files) for name in ("user", "item"))
    database.execute(
      "CREATE TABLE IF NOT EXISTS described (kind TEXT, id TEXT, title TEXT, features TEXT,"
      " PRIMARY KEY (kind, id)) WITHOUT ROWID"
    )

  def drop(self, key: str, reason: str) -> None:
    """Does nothing: the tally counts."""

  def take(self, example: Events | Described | Remark) -> str | None:
    """Keeps rows of a log, or what a table says of one item."""
    if isinstance(example, Remark):
      self._tally.remark(example.what, int(example.number))
      return None
    if isinstance(example, Described):
      return self._describe(example)
    events = self._wanted(example)
    count = events.num_records
    kept = np.zeros(count, EVENT)
    kept["user"], kept["item"] = (
      self._users.numbers(events.users),
      self._items.numbers(events.items),
    )
    self._tally.has_times = events.times is not None
    if events.times is None:
      kept["time"] = self._tally.num_kept + np.arange(count)
    else:
      kept["time"] = events.times
      self._remark(events.times)
    self._files.append(RAW, kept.tobytes())
    self._tally.keep("", count=count)
    return None

  def _describe(self, row: Described) -> str | None:
    cursor = self._database.execute(
      "INSERT OR IGNORE INTO described VALUES (?, ?, ?, ?)",
      (row.of, row.name, row.title, json.dumps(row.features)),
    )
    if not cursor.rowcount:
      self._tally.pass_over(f"{row.of} described before", fault=False)
      return f"{row.of} described before"
    self._tally.described[row.of] = self._tally.described.get(row.of, 0) + 1
    return None

  def _wanted(self, events: Events) -> Events:
    """The rows of the kinds and ratings that are asked for; the others are counted."""
    file = events.key.rpartition(":")[0]
    if events.kinds is not None:
      self._count_kinds(events.kinds)
    if self._event_types:
      if events.kinds is None:
        raise UserError(
          f"--config.filters.event_types: {file}: the log does not say what happened; "
          "--config.source.fields.event names the column"
        )
      wanted = pa.array(self._event_types, pa.large_string())
      chosen = pc.is_in(events.kinds, value_set=wanted).to_numpy(zero_copy_only=False)
      self._drop_kinds(events.kinds.filter(pa.array(~chosen)))
      events = events.where(chosen)
    if self._min_rating is not None:
      if events.ratings is None:
        raise UserError(
          f"--config.filters.min_rating: {file}: the log has no ratings; "
          "--config.source.fields.rating names the column"
        )
      events = self._without(events, np.isnan(events.ratings), "without a rating", fault=True)
      low = events.ratings < self._min_rating  # pyright: ignore[reportOptionalOperand]
      events = self._without(events, low, f"rating below {self._min_rating:g}")
    return events

  def _without(
    self, events: Events, left_out: np.ndarray, reason: str, *, fault: bool = False
  ) -> Events:
    if count := int(left_out.sum()):
      self._tally.pass_over(reason, fault=fault, count=count)
      self._tally.drop(events.key, reason, count=count)
    return events.where(~left_out)

  def _drop_kinds(self, kinds: pa.Array) -> None:
    """Counts events that were not asked for, by what they are."""
    reason = "event of another type"
    for entry in pc.value_counts(kinds).to_pylist():
      self._tally.pass_over(reason, fault=False, count=entry["counts"])
      self._tally.drop(str(entry["values"]), reason, count=entry["counts"])

  def _count_kinds(self, kinds: pa.Array) -> None:
    for entry in pc.value_counts(kinds).to_pylist():
      name = "(none)" if entry["values"] is None else entry["values"]
      if name in self._tally.kinds or len(self._tally.kinds) < _MOST_KINDS:
        self._tally.kinds[name] = self._tally.kinds.get(name, 0) + entry["counts"]

  def _remark(self, times: np.ndarray) -> None:
    tally = self._tally
    if not len(times):
      return
    before = times[0] if tally.last_time is None else tally.last_time
    tally.remark("earlier than the row before", int(np.sum(np.diff(times, prepend=before) < 0)))
    tally.remark("before 1970", int(np.sum(times < 0)))
    tally.remark("after 2099", int(np.sum(times >= _LAST)))
    tally.last_time = int(times[-1])


def check_kinds(event_types: tuple[str, ...], tally: EventTally) -> None:
  """Refuses kinds of events that the log has not.

  Raises:
    UserError: with the nearest one that it has.
  """
  kinds = tally.kinds
  for name in event_types if len(kinds) < _MOST_KINDS else ():
    if name not in kinds:
      hint = nearest(name, kinds)
      raise UserError(f"--config.filters.event_types: found '{name}', which no event is{hint}")

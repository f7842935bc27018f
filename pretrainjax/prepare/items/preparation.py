"""What is done to the events of a log: filtered, ordered by user and time, and split."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pretrainjax.data.interactions import KIND
from pretrainjax.data.item_table import ITEMS, USERS
from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Encoded, Opened, Size
from pretrainjax.prepare.items.collector import EventCollector, EventTally, check_kinds
from pretrainjax.prepare.items.core import Core, core_of
from pretrainjax.prepare.items.ids import read_ids
from pretrainjax.prepare.items.log import Counted, Log, counted, load_masks, records, save_masks
from pretrainjax.prepare.items.record import features
from pretrainjax.prepare.items.sorting import Sorted, sort_events
from pretrainjax.prepare.items.splits import Cuts, Splits
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.ranges import Finite, PositiveInt, check_ranges

_CORE, _CUTS = "core", "cuts"
_AT_ONCE = 4096  # lines of a table


@dataclasses.dataclass(frozen=True)
class Filters:
  """Which events are kept; each of these is applied to what those above it left.

  Attributes:
    min_rating: the lowest rating that is kept; None keeps all.
    event_types: the kinds of events that are kept; () keeps all.
    duplicates: whether an event with the user, item and time of another is "dropped" or "kept".
    consecutive_repeats: whether one with the item of the user's event before is, likewise.
    min_user_events: the fewest events of a user; those with fewer are left out, and items too,
      again and again until there is none.
    min_item_events: the fewest events of an item.
  """

  min_rating: Finite | None = None
  event_types: tuple[str, ...] = ()
  duplicates: Literal["dropped", "kept"] = "dropped"
  consecutive_repeats: Literal["dropped", "kept"] = "dropped"
  min_user_events: PositiveInt = 5
  min_item_events: PositiveInt = 5

  def __post_init__(self):
    check_ranges(self)

  @property
  def drop_repeats(self) -> bool:
    """Whether consecutive repeats are left out."""
    return self.consecutive_repeats == "dropped"


@dataclasses.dataclass(frozen=True)
class InteractionPreparation:
  """The settings by which a log becomes a dataset.

  Attributes:
    filters: which events are kept, of the whole log, before it is split: so does Time to Split
      (2507.16289).
    splits: how events are split.
  """

  filters: Filters = Filters()
  splits: Splits = Splits()

  noun = "event"
  unreadable = "events cannot be read"

  def settings(self) -> dict[str, Any]:
    """Plain data that says what is done to the events of the source."""
    return json.loads(json.dumps(dataclasses.asdict(self)))

  def tally(self, facts: Mapping[str, Any]) -> EventTally:
    """Counts, empty or as a journal kept them."""
    return EventTally(**facts)

  def collector(self, opened: Opened, files: Appended) -> EventCollector:
    """Keeps events as numbers."""
    return EventCollector(
      opened.folder,
      files,
      database=opened.journal.database,
      tally=_tally_of(opened),
      min_rating=self.filters.min_rating,
      event_types=self.filters.event_types,
    )

  def encode(self, opened: Opened) -> Encoded:
    """Sorts, filters and splits; records are made as they are written.

    Raises:
      UserError: where nothing is left, or nothing can be held out.
    """
    check_kinds(self.filters.event_types, _tally_of(opened))
    log = self._filtered(opened)
    cuts = self._cuts(opened, log)
    counts = counted(log, self.splits, cuts)
    self._check(counts, opened)
    ids = {
      "item": log.item_ids(read_ids("item", opened.folder)),
      "user": log.user_ids(read_ids("user", opened.folder)),
    }
    return Encoded(
      splits={split: Size(*size) for split, size in counts.sizes.items()},
      features=features(),
      records=lambda split, start: records(log, self.splits, cuts, split=split, start=start),
      report=self._report(opened, log, cuts, counts, ids),
      texts={
        ITEMS: _lines(opened, "item", ids["item"], counts.of_items),
        USERS: _lines(opened, "user", ids["user"], counts.of_users),
      },
      info={"description": "Users' items in order of time, written by pretrainjax."},
    )

  def _filtered(self, opened: Opened) -> Log:
    journal, folder = opened.journal, opened.folder
    num_users, num_items = (len(read_ids(name, folder)) for name in ("user", "item"))
    in_order = sort_events(
      folder,
      journal,
      num_users=num_users,
      seed=self.splits.seed,
      keep_duplicates=self.filters.duplicates == "kept",
    )
    if (facts := journal.get(_CORE)) is None:
      core = self._core(in_order, num_items)
      facts = save_masks(folder, core)
      journal.put(_CORE, facts)
      journal.commit()
    core = load_masks(folder, facts)
    if not core.num_events:
      raise UserError(
        f"{opened.corpus.origin}: of {opened.tally.num_kept:,} events none is left where each user "
        f"has {self.filters.min_user_events} and each item {self.filters.min_item_events} "
        "(--config.filters.min_user_events, --config.filters.min_item_events)"
      )
    has_times = bool(_tally_of(opened).has_times)
    return Log(in_order, core, self.filters.drop_repeats, has_times)

  def _core(self, in_order: Sorted, num_items: int) -> Core:
    return core_of(
      in_order.parts,
      num_users=in_order.num_users,
      num_items=num_items,
      min_user_events=self.filters.min_user_events,
      min_item_events=self.filters.min_item_events,
      drop_repeats=self.filters.drop_repeats,
    )

  def _cuts(self, opened: Opened, log: Log) -> Cuts | None:
    journal = opened.journal
    if (found := journal.get(_CUTS)) is None:
      cuts = self.splits.cuts(log.times)
      found = list(cuts) if cuts is not None else []
      journal.put(_CUTS, found)
      journal.commit()
    return Cuts(*found) if found else None

  def _check(self, counts: Counted, opened: Opened) -> None:
    """Refuses a log of which nothing is trained on, or nothing asked for."""
    for split in ("train", "test"):
      if split not in counts.sizes:
        why = "no user has two events"
        if self.splits.kind == "temporal":
          why = f"no event is before the quantile {self.splits.quantile:g} of all times"
        raise UserError(
          f"{opened.corpus.origin}: '{split}' holds nothing ({why}); --config.splits.kind and "
          "--config.splits.quantile say how events are split"
        )

  def _report(
    self, opened: Opened, log: Log, cuts: Cuts | None, counts: Counted, ids: dict[str, pa.Array]
  ) -> dict[str, Any]:
    tally, core, splits = _tally_of(opened), log.core, self.splits
    temporal = cuts is not None
    removed = tally.num_kept - log.sorted.num_duplicates - core.num_repeats - core.num_events
    return {
      "kind": KIND,
      "num_items": log.num_items,
      "num_users": log.num_users,
      "num_events": core.num_events,
      "longest_history": counts.longest,
      "times": "seconds" if log.has_times else "rows",
      "protocol": {
        "split": splits.kind,
        "quantile": splits.quantile if temporal else None,
        "cut": cuts.train if temporal else None,
        "test_cut": cuts.test if temporal else None,
        "target": splits.target,
        "validation": splits.validates_by,
        "min_user_events": self.filters.min_user_events,
        "min_item_events": self.filters.min_item_events,
        "core_of": "the whole log, before it is split",
        "min_rating": self.filters.min_rating,
        "event_types": list(self.filters.event_types),
        "duplicates": self.filters.duplicates,
        "consecutive_repeats": self.filters.consecutive_repeats,
      },
      "splits": {
        split: {"examples": count, "events": counts.events[split]}
        for split, (count, _) in counts.sizes.items()
      },
      "cold_users": counts.cold,
      "cold_items": int(np.sum(counts.of_items == 0)),
      "read": tally.num_kept + sum(tally.dropped.values()),
      "exact_duplicates": log.sorted.num_duplicates,
      "repeats_left_out": core.num_repeats,
      "left_out_by_core": removed,
      "rounds_of_core": core.num_rounds,
      "event_types_read": tally.kinds,
      "remarks": tally.remarks,
      "described": {kind: _described(opened, kind, names) for kind, names in ids.items()},
      "dropped": tally.dropped,
      "dropped_keys": tally.dropped_keys,
    }


def _tally_of(opened: Opened) -> EventTally:
  assert isinstance(opened.tally, EventTally)
  return opened.tally


def _described(opened: Opened, kind: str, ids: pa.Array) -> dict[str, int]:
  """Of how many of those that are left a table says something, and the others that it has."""
  rows = _tally_of(opened).described.get(kind, 0)
  starts = range(0, len(ids), _AT_ONCE) if rows else ()
  known = sum(row is not None for start in starts for row in _rows(opened, kind, ids, start))
  return {"with": known, "without": len(ids) - known, "not_in_log": rows - known}


def _rows(opened: Opened, kind: str, ids: pa.Array, start: int) -> Iterator[tuple | None]:
  query = "SELECT title, features FROM described WHERE kind = ? AND id = ?"
  is_described = _tally_of(opened).described.get(kind, 0) > 0
  for name in ids.slice(start, _AT_ONCE).to_pylist():
    if not is_described:
      yield None
      continue
    yield opened.journal.database.execute(query, (kind, name)).fetchone()


def _lines(opened: Opened, kind: str, ids: pa.Array, counts: np.ndarray) -> Iterator[str]:
  """The lines of a table, by number."""
  for start in range(0, len(ids), _AT_ONCE):
    names = ids.slice(start, _AT_ONCE).to_pylist()
    some = counts[start : start + _AT_ONCE].tolist()
    rows = _rows(opened, kind, ids, start)
    for name, count, row in zip(names, some, rows, strict=True):
      title, described = row if row is not None else (None, "{}")
      entry: dict[str, Any] = {"id": name, "count": count}
      entry |= {"title": title} if title is not None else {}
      entry |= {"features": found} if (found := json.loads(described)) else {}
      yield json.dumps(entry, ensure_ascii=False) + "\n"

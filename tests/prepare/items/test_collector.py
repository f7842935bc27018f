"""What of a log is kept, counted and remarked."""

import contextlib
import sqlite3

import numpy as np
import pyarrow as pa
import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Remark
from pretrainjax.prepare.items.collector import EventCollector, EventTally, check_kinds
from pretrainjax.prepare.items.events import EVENT, Described, Events
from pretrainjax.prepare.items.sorting import RAW
from pretrainjax.prepare.stages.appended import Appended


def collected(folder, examples, *, min_rating=None, event_types=()):
  """The tally and the events on disk, of examples that are taken one after another."""
  tally = EventTally()
  how = {"tally": tally, "min_rating": min_rating, "event_types": event_types}
  with (
    contextlib.closing(sqlite3.connect(":memory:")) as database,
    contextlib.closing(Appended(folder, {})) as files,
  ):
    collector = EventCollector(folder, files, database=database, **how)
    reasons = [collector.take(example) for example in examples]
    files.sync()
  path = folder / RAW
  return tally, np.fromfile(path, EVENT) if path.exists() else None, reasons


def events(**columns):
  names = pa.array(["a", "b", "a"])
  return Events("log:1", names, pa.array(["x", "x", "y"]), **columns)


def test_rows_without_times_are_counted_through(tmp_path):
  tally, found, _ = collected(tmp_path, [events(), events()])
  assert found["time"].tolist() == [0, 1, 2, 3, 4, 5]
  assert found["user"].tolist() == [0, 1, 0] * 2 and found["item"].tolist() == [0, 0, 1] * 2
  assert tally.num_kept == 6 and tally.has_times is False


def test_times_are_remarked_across_blocks(tmp_path):
  blocks = [events(times=np.array([5, 5, 9])), events(times=np.array([8, -1, 5 * 10**15]))]
  tally, found, _ = collected(tmp_path, [*blocks, Remark("odd", 1), Remark("odd", 1)])
  assert found["time"].tolist() == [5, 5, 9, 8, -1, 5 * 10**15]
  assert tally.remarks == {
    "earlier than the row before": 2,
    "before 1970": 1,
    "after 2099": 1,
    "odd": 2,
  }


def test_low_ratings_and_other_kinds_are_left_out_and_counted(tmp_path):
  block = events(ratings=np.array([1.0, np.nan, 5.0]), kinds=pa.array(["buy", "buy", None]))
  tally, found, _ = collected(tmp_path, [block], min_rating=2.0)
  assert len(found) == 1 and tally.dropped == {"without a rating": 1, "rating below 2": 1}
  assert (tally.faults, tally.passed_over, tally.num_read) == (1, 1, 2)
  assert tally.kinds == {"buy": 2, "(none)": 1}
  (tmp_path / "other").mkdir()
  tally, found, _ = collected(tmp_path / "other", [block], event_types=("buy",))
  assert len(found) == 2 and tally.dropped_keys == {"event of another type": ["None"]}


def test_what_is_described_twice_is_counted(tmp_path):
  row = Described("t:1", "item", "x", "X", {})
  tally, _, reasons = collected(tmp_path, [row, row, row._replace(of="user")])
  assert reasons == [None, "item described before", None]
  assert tally.described == {"item": 1, "user": 1} and tally.faults == 0


def test_a_kind_that_was_not_counted_for_its_number_is_not_refused():
  check_kinds(("x",), EventTally(kinds={f"kind{i}": 1 for i in range(100)}))
  with pytest.raises(UserError, match="found 'x', which no event is"):
    check_kinds(("x",), EventTally(kinds={"y": 1}))

"""Events sorted on disk: as one stable sort in memory would, and after a stop too."""

import contextlib

import numpy as np
import pytest

from pretrainjax.prepare.items import sorting
from pretrainjax.prepare.items.events import EVENT
from pretrainjax.prepare.items.sorting import RAW, sort_events
from pretrainjax.prepare.stages.journal import open_journal


@pytest.fixture
def log(tmp_path, monkeypatch):
  """A log with many ties of times, larger than a block, that makes several parts."""
  monkeypatch.setattr(sorting, "_BLOCK", 64)
  monkeypatch.setattr(sorting, "_PART_EVENTS", 100)
  monkeypatch.setattr(sorting, "_PART_USERS", 8)
  rng = np.random.default_rng(0)
  events = np.zeros(500, EVENT)
  events["user"] = rng.integers(0, 30, 500)
  events["item"] = rng.integers(0, 5, 500)
  events["time"] = rng.integers(-3, 9, 500)
  events.tofile(tmp_path / RAW)
  return events


def sort(folder, **changes):
  with open_journal(folder) as journal:
    how = {"num_users": 30, "seed": 1, "keep_duplicates": True} | changes
    return sort_events(folder, journal, **how)


def test_events_come_by_user_and_time_and_ties_as_rows_were(log, tmp_path):
  found = sort(tmp_path)
  parts = list(found.parts())
  assert len(parts) > 3 and all(len(p) <= 100 for p in parts)
  wanted = log.copy()
  wanted["user"] = found.order[log["user"]]
  wanted = wanted[np.lexsort((wanted["time"], wanted["user"]))]  # stable
  np.testing.assert_array_equal(np.concatenate(parts), wanted)


def test_an_event_that_is_there_twice_is_left_out_and_counted(log, tmp_path):
  found = sort(tmp_path, keep_duplicates=False)
  left = np.concatenate(list(found.parts()))
  assert len(left) == len(np.unique(log)) == len(np.unique(left))
  assert found.num_duplicates == len(log) - len(left) > 0
  rows = {event.tobytes(): place for place, event in reversed(list(enumerate(log)))}
  back = np.argsort(found.order)
  left["user"] = back[left["user"]]
  places = np.array([rows[event.tobytes()] for event in left])
  ties = (left["user"][1:] == left["user"][:-1]) & (left["time"][1:] == left["time"][:-1])
  assert (np.diff(places)[ties] > 0).all()  # the first of equal ones stays, in the log's order


class Killed(Exception):
  """In place of a kill."""


@pytest.mark.parametrize("stop", ["_scatter", "_sort"])
def test_a_sort_that_was_stopped_goes_on(log, tmp_path, monkeypatch, stop):
  wanted = np.concatenate(list(sort(tmp_path, keep_duplicates=False).parts()))
  other = tmp_path / "other"
  other.mkdir()
  log.tofile(other / RAW)
  calls, real = [], getattr(sorting, stop)

  def dying(*arguments, **options):
    calls.append(0)
    if stop == "_scatter" or len(calls) == 3:
      (arguments[1] if stop == "_scatter" else arguments[0]).joinpath("0.raw").write_bytes(b"half")
      raise Killed
    return real(*arguments, **options)

  monkeypatch.setattr(sorting, stop, dying)
  with contextlib.suppress(Killed):
    sort(other, keep_duplicates=False)
    pytest.fail("was not stopped")
  monkeypatch.setattr(sorting, stop, real)
  found = np.concatenate(list(sort(other, keep_duplicates=False).parts()))
  np.testing.assert_array_equal(found, wanted)

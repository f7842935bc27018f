"""From a log to a dataset: what is in it, whatever happens on the way, and the same bytes."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pretrainjax.data.interactions import Interactions
from pretrainjax.data.item_table import ItemTable, UserTable
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.prepare.items import collector, log_files, preparation, sorting
from pretrainjax.prepare.items.interactions import Source
from pretrainjax.prepare.items.preparation import Filters, InteractionPreparation
from pretrainjax.prepare.items.splits import Splits
from pretrainjax.prepare.job import Job, write_dataset
from pretrainjax.prepare.report import lines
from pretrainjax.prepare.stages import collect, shards

ALL = Filters(min_user_events=1, min_item_events=1, consecutive_repeats="kept")


def write_log(path: Path, rows, header="user,item,time") -> Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
  return path


def random_rows(count=600, seed=0):
  """Rows with many ties of times, in no order."""
  rng = np.random.default_rng(seed)
  users, items = rng.integers(0, 25, count), rng.zipf(1.5, count).clip(0, 40)
  times = rng.integers(1_000, 1_200, count)
  return list(zip(users.tolist(), items.tolist(), times.tolist(), strict=True))


def write(root: Path, data_dir: Path, *, filters=ALL, splits=None, max_dropped=0.01, **source):
  splits = Splits() if splits is None else splits
  made = Source(**({"root": str(root), "name": "log"} | source))
  job = Job(made, InteractionPreparation(filters, splits), max_dropped=max_dropped)
  return write_dataset(job, data_dir=data_dir, source_facts={"name": made.name})


def report_of(folder: Path) -> dict:
  return json.loads((folder / "prepared.json").read_text())


def histories(folder: Path, split: str) -> dict[str, tuple]:
  """Of each user's record: items by their ids, times, the target's id, its time, num_train."""
  found = Interactions.read(PreparedSplit.at(folder, split=split))
  items, users = ItemTable.load(folder), UserTable.load(folder)
  rows = {}
  for i, user in enumerate(found.users):
    events = found.row(i)
    target = items.ids[found.targets[i]]
    names = [items.ids[n] for n in found.items[events]]
    facts = int(found.target_times[i]), int(found.num_train[i])
    assert users.ids[user] not in rows
    rows[users.ids[user]] = (names, found.times[events].tolist(), target, *facts)
  return rows


def digests(folder: Path) -> dict[str, str]:
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def in_order(rows):
  """Rows by user: by time, ties as they stand in the file."""
  found: dict[str, list] = {}
  for user, item, time in sorted(dict.fromkeys(rows), key=lambda row: row[2]):  # stable
    found.setdefault(str(user), []).append((str(item), time))
  return found


def test_every_event_is_in_its_place_and_none_is_lost(tmp_path):
  rows = random_rows()
  folder = write(write_log(tmp_path / "log.csv", rows), tmp_path / "data")
  wanted, report = in_order(rows), report_of(folder)
  times = sorted(time for history in wanted.values() for _, time in history)
  test_cut = times[int(0.9 * len(times))]
  cut = [t for t in times if t < test_cut][int(0.9 * sum(t < test_cut for t in times))]
  assert (report["protocol"]["cut"], report["protocol"]["test_cut"]) == (cut, test_cut)
  splits = {split: histories(folder, split) for split in ("train", "validation", "test")}
  for user, history in wanted.items():
    train = [event for event in history if event[1] < cut]
    if train:
      assert list(zip(*splits["train"][user][:2], strict=True)) == train
    for split, low, high in (("validation", cut, test_cut), ("test", test_cut, 10**9)):
      period = [place for place, event in enumerate(history) if low <= event[1] < high]
      assert (user in splits[split]) == bool(period)
      if period:
        names, when, target, target_time, num_train = splits[split][user]
        assert list(zip(names, when, strict=True)) == history[: period[-1]]
        assert ((target, target_time), num_train) == (history[period[-1]], len(train))
  counts = {name: 0 for name in ItemTable.load(folder).ids[1:]}
  for names, *_ in splits["train"].values():
    for name in names:
      counts[name] += 1
  assert ItemTable.load(folder).counts[1:].tolist() == list(counts.values())
  assert set(counts) == {item for history in wanted.values() for item, _ in history}
  assert report["num_events"] == len(times) and report["exact_duplicates"] == 600 - len(times)
  users = UserTable.load(folder)
  assert {n: int(c) for n, c in zip(users.ids, users.counts, strict=True) if c} == {
    user: len(row[0]) for user, row in splits["train"].items()
  }


def test_leave_one_out_without_times_goes_by_rows(tmp_path):
  rows = [("a", 1), ("b", 9), ("a", 2), ("a", 3), ("b", 1), ("c", 2), ("a", 3)]
  log = write_log(tmp_path / "log.csv", rows, header="user_id,item_id")
  folder = write(log, tmp_path / "data", splits=Splits(kind="leave_one_out"))
  assert histories(folder, "train") == {
    "a": (["1", "2"], [0, 2], "", 0, 2),
    "b": (["9"], [1], "", 0, 1),
    "c": (["2"], [5], "", 0, 1),
  }
  assert histories(folder, "validation") == {"a": (["1", "2"], [0, 2], "3", 3, 2)}
  assert histories(folder, "test") == {
    "a": (["1", "2", "3"], [0, 2, 3], "3", 6, 2),
    "b": (["9"], [1], "1", 4, 1),
  }
  report = report_of(folder)
  assert (report["times"], report["protocol"]["cut"]) == ("rows", None)
  read_as = "user=user_id, item=item_id, no times: the order of rows, as in log.csv"
  assert report["notes"] == [read_as]


def test_ratings_kinds_repeats_and_the_core_leave_out_and_say_how_many(tmp_path):
  rows = [("a", 1, 5, 1), ("a", 1, 5, 2), ("a", 2, 2, 3), ("a", 3, "", 7), ("a", 3, 5, 8)]
  rows += [("a", 1, 3, 9), ("b", 1, 4, 1), ("b", 9, 4, 2), ("b", 1, 4, 2), ("b", 3, 4, 9)]
  rows = [(*row, "buy") for row in rows] + [("a", 3, 5, 4, "view")]
  log = write_log(tmp_path / "log.csv", rows, header="user,item,rating,time,event")
  filters = Filters(min_rating=3.0, event_types=("buy",), min_user_events=2, min_item_events=2)
  folder = write(log, tmp_path / "data", filters=filters, max_dropped=0.2)
  report = report_of(folder)
  assert report["dropped"] == {
    "event of another type": 1,
    "rating below 3": 1,
    "without a rating": 1,
  }
  assert report["event_types_read"] == {"buy": 10, "view": 1}
  # of b's three 1, 9, 1, what is between two equal ones goes, and then the second
  assert (report["repeats_left_out"], report["left_out_by_core"]) == (2, 1)
  assert report["num_events"] == 5
  assert report["read"] == len(rows) == 5 + 2 + 1 + 3
  told = "\n".join(lines(report, folder))
  assert "1 event of another type (9.1% of all): view" in told
  assert "event types    buy 10, view 1; taken: buy" in told


def test_a_cold_user_and_a_cold_item_stay(tmp_path):
  rows = [("old", i, i) for i in range(90)] + [("new", 1, 95), ("new", "fresh", 99)]
  folder = write(write_log(tmp_path / "log.csv", rows), tmp_path / "data")
  assert histories(folder, "test")["new"] == (["1"], [95], "fresh", 99, 0)
  items, report = ItemTable.load(folder), report_of(folder)
  assert items.counts[items.number_of("fresh")] == 0
  assert report["cold_users"]["test"] == 1 and report["cold_items"] > 0
  assert "1 of users who are not trained on" in "\n".join(lines(report, folder))


def test_successive_targets_are_a_record_each(tmp_path):
  rows = [("a", i, i) for i in range(100)]
  splits = Splits(target="successive", validation="last")
  folder = write(write_log(tmp_path / "log.csv", rows), tmp_path / "data", splits=splits)
  found = Interactions.read(PreparedSplit.at(folder, split="test"))
  assert np.diff(found.offsets).tolist() == list(range(90, 100))
  ids = ItemTable.load(folder).ids
  assert [ids[n] for n in found.targets] == [str(i) for i in range(90, 100)]
  assert found.num_train.tolist() == [89] * 10


@pytest.mark.parametrize(
  ("rows", "changes", "reason"),
  [
    ([("a", 1, 5), ("b", 2, 5)], {}, "no event is before the quantile 0.9"),
    (
      [("a", 1, 5), ("b", 2, 6)],
      {"splits": Splits(kind="leave_one_out")},
      "no user has two events",
    ),
    (
      [("a", 1, 5), ("a", 2, 6)],
      {"filters": Filters()},
      "of 2 events none is left where each user",
    ),
    (
      [("a", 1, 5)],
      {"filters": Filters(min_rating=3.0)},
      "min_rating: log.csv: the log has no rat",
    ),
    ([("a", 1, 5)], {"filters": Filters(event_types=("x",))}, "does not say what happened"),
    ([("a", "", 5)], {}, "holds no event; dropped 1 without an item"),
    ([("a", 1, i) for i in range(50)] + [("a", 1, "")], {}, "1 of 51 events cannot be read"),
  ],
)
def test_what_cannot_be_prepared_is_one_line(tmp_path, rows, changes, reason):
  with pytest.raises(UserError, match=reason):
    write(write_log(tmp_path / "log.csv", rows), tmp_path / "data", **changes)


def test_an_event_type_that_no_event_has_is_refused(tmp_path):
  log = write_log(
    tmp_path / "log.csv", [("a", 1, 5, "view"), ("a", 2, 6, "buy")], "user,item,ts,event"
  )
  filters = dataclasses.replace(ALL, event_types=("buy", "views"))
  with pytest.raises(UserError, match="found 'views', which no event is; did you mean 'view'"):
    write(log, tmp_path / "data", filters=filters)


class Killed(Exception):
  """In place of a kill."""


def dying(real, calls: int):
  """The function that does its work only so often."""
  left = [calls]

  def call(*arguments, **options):
    left[0] -= 1
    if left[0] < 0:
      raise Killed
    return real(*arguments, **options)

  return call


STOPS = [
  (collector.Ids, "numbers", 1),
  (collector.Ids, "numbers", 3),
  (sorting, "_scatter", 0),
  (sorting, "_sort", 1),
  (preparation, "core_of", 0),
  (preparation, "save_masks", 0),
  (preparation, "counted", 0),
  (shards, "_with_record", 30),
]


@pytest.fixture
def small_blocks(monkeypatch):
  """A log of 600 rows is then many blocks and parts."""
  monkeypatch.setattr(log_files, "_BLOCK", 1 << 10)
  monkeypatch.setattr(sorting, "_BLOCK", 64)
  monkeypatch.setattr(sorting, "_PART_EVENTS", 100)
  monkeypatch.setattr(collect, "_EVERY", 100)


def test_a_stopped_job_ends_with_the_same_bytes(tmp_path, monkeypatch, small_blocks):
  log = write_log(tmp_path / "log.csv", random_rows())
  filters = Filters(min_user_events=3, min_item_events=2)
  wanted = digests(write(log, tmp_path / "whole", filters=filters))
  for holder, name, calls in STOPS:
    real = getattr(holder, name)
    monkeypatch.setattr(holder, name, dying(real, calls))
    with pytest.raises(Killed):
      write(log, tmp_path / "stopped", filters=filters)
    monkeypatch.setattr(holder, name, real)
    assert not (tmp_path / "stopped" / "log" / "1.0.0").exists()
  assert digests(write(log, tmp_path / "stopped", filters=filters)) == wanted


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.prepare.items.test_preparation import write
from pretrainjax.prepare.items import log_files, sorting
from pretrainjax.prepare.stages import collect
log_files._BLOCK, collect._EVERY, sorting._PART_EVENTS = 1 << 10, 100, 100
real, left = sorting._sort, [2]
def sort(*arguments, **options):
  left[0] -= 1
  if not left[0]:
    os.kill(os.getpid(), signal.SIGKILL)
  return real(*arguments, **options)
sorting._sort = sort
write(Path(sys.argv[1]) / "log.csv", Path(sys.argv[1]) / "killed")
"""


@pytest.mark.repeat
def test_a_killed_process_leaves_what_another_goes_on_with(tmp_path, small_blocks):
  log = write_log(tmp_path / "log.csv", random_rows())
  wanted = digests(write(log, tmp_path / "whole"))
  root = str(Path(__file__).parents[3])
  command = [sys.executable, "-c", KILLED.format(root=root), str(tmp_path)]
  environment = os.environ | {"PYTHONPATH": root}
  assert subprocess.run(command, check=False, env=environment, cwd=root).returncode == -9
  assert digests(write(log, tmp_path / "killed")) == wanted


def test_the_size_of_blocks_and_parts_changes_nothing(tmp_path, monkeypatch):
  log = write_log(tmp_path / "log.csv", random_rows())
  whole = report_of(write(log, tmp_path / "whole"))
  monkeypatch.setattr(log_files, "_BLOCK", 1 << 10)
  monkeypatch.setattr(sorting, "_PART_EVENTS", 50)
  monkeypatch.setattr(sorting, "_PART_USERS", 3)
  assert report_of(write(log, tmp_path / "cut")) == whole


def test_training_after_the_cut_is_an_error_of_ours(tmp_path, monkeypatch):
  monkeypatch.setattr(Splits, "cuts", lambda self, times: preparation.Cuts(1_050, 1_100))
  real = Splits.places

  def late(self, chunk, cuts):
    return real(self, chunk, cuts._replace(train=1_080) if cuts else cuts)

  monkeypatch.setattr(Splits, "places", late)
  with pytest.raises(AssertionError, match="is trained on, after 1050"):
    write(write_log(tmp_path / "log.csv", random_rows()), tmp_path / "data")

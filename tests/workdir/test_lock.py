"""Whose a folder is: the living are left alone, the dead not waited for, and no clock is asked."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pretrainjax.errors import UserError
from pretrainjax.workdir import lock
from pretrainjax.workdir.lock import NAME, acquire

ELSEWHERE = {"host": "node7", "machine": "another boot"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(lock, "_HEARTBEAT", 0.05)
  monkeypatch.setattr(lock, "_WRITE_SECONDS", 0.1)


def never(line: str) -> None:
  raise AssertionError(line)


def left_behind(workdir: Path, **changes) -> Path:
  """A lock as a run of another host, or a process that is gone, would leave it."""
  held = acquire(workdir, on_lost=never)
  path = workdir / NAME
  fields = json.loads(path.read_text()) | {"token": "old"} | changes
  held.release()
  path.write_text(json.dumps(fields))
  return path


def test_a_folder_is_free_again_after_release(tmp_path):
  for _ in range(2):
    held = acquire(tmp_path, on_lost=never)
    assert (tmp_path / NAME).exists()
    held.release()
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_whoever_lives_is_named(tmp_path):
  held = acquire(tmp_path, on_lost=never)
  with pytest.raises(UserError) as refusal:
    acquire(tmp_path, on_lost=never)
  held.release()
  assert "\n" not in str(refusal.value)
  assert f"'{tmp_path}' is in use by a run that is alive: pid {os.getpid()} on " in str(
    refusal.value
  )
  assert "UTC, 0 min ago" in str(refusal.value)


def race(workdir: Path, count: int) -> tuple[list[lock.Lock], int]:
  """The locks that so many threads got at the same time, and how many were refused."""
  held, refused = [], []

  def try_it():
    try:
      held.append(acquire(workdir, on_lost=never))
    except UserError:
      refused.append(1)

  threads = [threading.Thread(target=try_it) for _ in range(count)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return held, len(refused)


@pytest.mark.parametrize("links", [True, False])
def test_of_many_at_once_one_succeeds(links, tmp_path, monkeypatch):
  """Also when all of them find a lock that was left behind, and where there are no hard links."""
  if not links:
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
  for turn in range(6):
    if turn % 2:
      left_behind(tmp_path, born="1")
    held, refused = race(tmp_path, 8)
    assert (len(held), refused) == (1, 7)
    held[0].release()
    assert list(tmp_path.iterdir()) == [], "nothing is left aside"


def test_two_that_judge_a_lock_at_the_same_time(tmp_path, monkeypatch):
  """The second one must not take away the new lock of the first."""
  left_behind(tmp_path, born="1")
  judge, together = lock._stale_reason, threading.Barrier(2)

  def judge_together(*args):
    reason = judge(*args)
    if reason is not None:
      together.wait(5)
    return reason

  monkeypatch.setattr(lock, "_stale_reason", judge_together)
  held, refused = race(tmp_path, 2)
  assert (len(held), refused) == (1, 1)
  held[0].release()


def test_a_process_that_is_gone_is_not_waited_for(tmp_path, caplog):
  gone = subprocess.Popen([sys.executable, "-c", ""])
  gone.wait()
  left_behind(tmp_path, pid=gone.pid)
  start = time.monotonic()
  acquire(tmp_path, on_lost=never).release()
  assert time.monotonic() - start < 1
  assert (
    f"pid {gone.pid} on" in caplog.text and "(no such process) and is taken over" in caplog.text
  )


def test_a_process_that_nobody_has_reaped_is_gone(tmp_path):
  zombie = subprocess.Popen([sys.executable, "-c", ""])
  time.sleep(0.5)
  born = Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[19]
  left_behind(tmp_path, pid=zombie.pid, born=born)
  acquire(tmp_path, on_lost=never).release()
  zombie.wait()


def test_a_number_that_is_used_again_is_another_process(tmp_path, caplog):
  left_behind(tmp_path, born="17")
  acquire(tmp_path, on_lost=never).release()
  assert "its number is another process's by now" in caplog.text


def test_another_host_that_does_not_beat_is_dead_after_a_while(tmp_path, caplog):
  path = left_behind(tmp_path, **ELSEWHERE)
  os.utime(path, (4e9, 4e9))  # the year 2096: no clock is asked
  start = time.monotonic()
  acquire(tmp_path, on_lost=never, stale_after=0.3).release()
  assert time.monotonic() - start > 0.25
  assert "watching for 0 s whether its run is alive" in caplog.text
  assert "on node7" in caplog.text and "no beat for" in caplog.text


def test_another_host_that_beats_lives(tmp_path, monkeypatch):
  """However old its clock says it is."""
  held = acquire(tmp_path, on_lost=never)
  monkeypatch.setattr(lock, "_machine", lambda: "another boot")
  before = time.time
  monkeypatch.setattr(time, "time", lambda: before() + 1e6)
  with pytest.raises(UserError, match="is in use by a run that is alive"):
    acquire(tmp_path, on_lost=never, stale_after=5.0)
  held.release()


@pytest.mark.parametrize("text", ["", "{", '{"host": 1}', "[]", "[" * 100_000, "null", "\0\1"])
def test_a_lock_that_names_nobody_is_taken_over(text, tmp_path, caplog):
  (tmp_path / NAME).write_text(text)
  acquire(tmp_path, on_lost=never).release()
  assert "names no owner" in caplog.text


@pytest.mark.parametrize(
  "changes",
  [{"since": "never"}, {"since": 3}, {"since": "2026-01-01"}, {"pid": "1"}, {"host": None}]
  + [{"pid": True}, {"token": []}, {"beats": "x"}, {"beats": None}, {"born": {}}],
)
def test_a_lock_with_values_of_another_kind_is_taken_over(changes, tmp_path, caplog):
  left_behind(tmp_path, **changes)
  acquire(tmp_path, on_lost=never).release()
  assert "names no owner" in caplog.text


def test_whoever_died_taking_over_is_not_waited_for_long(tmp_path):
  left_behind(tmp_path, born="1")
  (tmp_path / f"{NAME}.taking").touch()
  acquire(tmp_path, on_lost=never).release()
  assert list(tmp_path.iterdir()) == []


def test_one_that_is_just_being_made_is_waited_for(tmp_path):
  owner = left_behind(tmp_path, token="new").read_text()
  (tmp_path / NAME).write_text("")
  threading.Timer(0.05, lambda: (tmp_path / NAME).write_text(owner)).start()
  with pytest.raises(UserError, match="is in use by a run that is alive"):
    acquire(tmp_path, on_lost=never)


def test_whoever_was_taken_for_dead_ends(tmp_path):
  on_lost, said = threading.Event(), []
  held = acquire(tmp_path, on_lost=lambda line: (said.append(line), on_lost.set()))
  (tmp_path / NAME).unlink()
  path = left_behind(tmp_path, **ELSEWHERE) if not on_lost.is_set() else None
  assert on_lost.wait(5)
  assert "was taken by pid" in said[0] and "two must not write one folder" in said[0]
  held.release()
  assert path.exists(), "the other's lock stays"


def test_a_lock_that_was_deleted_comes_back(tmp_path):
  held = acquire(tmp_path, on_lost=never)
  (tmp_path / NAME).unlink()
  end = time.monotonic() + 5
  while not (tmp_path / NAME).exists() and time.monotonic() < end:
    time.sleep(0.01)
  time.sleep(0.02)  # it is written, too
  with pytest.raises(UserError):
    acquire(tmp_path, on_lost=never)
  held.release()
  assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_for_a_while_is_survived(tmp_path, monkeypatch, caplog):
  caplog.set_level(logging.WARNING)
  held = acquire(tmp_path, on_lost=never)
  write = lock._write
  monkeypatch.setattr(lock, "_write", lambda *_: (_ for _ in ()).throw(OSError(5, "stale handle")))
  time.sleep(0.2)
  monkeypatch.setattr(lock, "_write", write)
  assert "cannot be written (stale handle)" in caplog.text
  beats = lock._read(tmp_path / NAME).beats
  time.sleep(0.3)
  assert lock._read(tmp_path / NAME).beats > beats
  held.release()

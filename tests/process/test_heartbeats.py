"""Who is lost, whose fault an error is, and what processes say to each other as they end."""

import socket
import threading
import time

import pytest

from pretrainjax.process import heartbeats
from pretrainjax.process.distributed import PeerLost
from pretrainjax.process.heartbeats import Heartbeats, Verdict, is_peer_failure, lost_processes
from pretrainjax.process.watchdog import STUCK, Watchdog


class Store:
  """The coordination service's, for the heartbeats of several processes in one."""

  def __init__(self):
    self.values, self._changed = {}, threading.Condition()

  def key_value_set(self, key, value, allow_overwrite=False):
    with self._changed:
      if key in self.values and not allow_overwrite:
        raise ValueError("ALREADY_EXISTS")
      self.values[key] = value
      self._changed.notify_all()

  def key_value_dir_get(self, key):
    return [(k, v) for k, v in self.values.items() if k.startswith(f"{key}/")]

  def blocking_key_value_get(self, key, timeout_in_ms):
    with self._changed:
      if not self._changed.wait_for(lambda: key in self.values, timeout_in_ms / 1000):
        raise ValueError("DEADLINE_EXCEEDED")
      return self.values[key]


class Left(BaseException):
  """A process has left."""


@pytest.fixture
def many(monkeypatch):
  """Makes the heartbeats of processes, whose ends are noted in `many.ends`."""
  store = Store()
  monkeypatch.setattr(heartbeats, "client", lambda: store)
  monkeypatch.setattr(heartbeats, "_on_abort", lambda act: act)
  monkeypatch.setattr(heartbeats, "_HEARTBEAT", 0.05)
  monkeypatch.setattr(heartbeats, "_PROMPT", 0.3)
  monkeypatch.setattr(heartbeats, "_GRACE", 0.2)
  made = []

  def make(count, *, start=None, heartbeat_timeout=30.0, connections=None, dogs=None):
    for index in range(count):

      def exit_process(status, index=index):
        make.ends.setdefault(index, status)
        raise Left

      one = Heartbeats(
        verb="pretrain",
        index=index,
        count=count,
        address="h:1",
        heartbeat_timeout=heartbeat_timeout,
        exit_process=exit_process,
        watchdog=(dogs or {}).get(index),
      )
      made.append(one)
      if start is None or index in start:
        one.start(connections if index == 0 else None)
    return made

  make.ends = {}
  monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
  yield make
  for one in made:
    one._ended.set()


def wait_for(many, count):
  end = time.monotonic() + 10
  while len(many.ends) < count and time.monotonic() < end:
    time.sleep(0.01)
  return many.ends


def test_silence_is_measured_by_patience_or_since_trouble():
  heartbeats = {1: ("7", 10.0), 2: ("9", 25.0)}
  assert lost_processes(heartbeats, now=29.0, timeout=20.0, trouble=None) == []
  assert lost_processes(heartbeats, now=31.0, timeout=20.0, trouble=None) == [1]
  assert lost_processes(heartbeats, now=25.5, timeout=20.0, trouble=24.0) == [], "too early to say"
  assert lost_processes(heartbeats, now=28.0, timeout=20.0, trouble=24.0) == [1]
  assert lost_processes(heartbeats, now=29.0, timeout=20.0, trouble=25.0) == [1, 2], (
    "it may have been the last"
  )


def test_whose_fault_an_error_is():
  gloo = ValueError("UNKNOWN: Gloo AllGather failed: Read error [127.0.0.1]: Connection reset")
  assert is_peer_failure(gloo) and is_peer_failure(PeerLost("process 1 did not come"))
  wrapped = RuntimeError("a step failed")
  wrapped.__cause__ = gloo
  assert is_peer_failure(wrapped)
  assert not is_peer_failure(ValueError("shapes differ")) and not is_peer_failure(None)


def test_a_silent_process_is_named_to_all(many, capsys):
  """Process 2 came, said its name, and never beats."""
  made = many(3, start=(0, 1), heartbeat_timeout=0.4)
  made[2]._store("name/2", "node2, pid 77")
  assert wait_for(many, 2) == {0: 43, 1: 43}
  said = capsys.readouterr().err.splitlines()
  assert len(said) == 2 and len(set(said)) == 1
  assert said[0].startswith("pretrain: process lost: process 2 (node2, pid 77) did not answer for")
  assert said[0].endswith("start the same command again to go on")


def test_after_trouble_the_dead_are_found_soon(many, capsys):
  made = many(3, start=(0, 1))
  made[2]._store("name/2", "node2, pid 77")
  with pytest.raises(Left):
    made[1].fail(ValueError("Gloo AllReduce failed"), status=1, line="", debug=False)
  assert wait_for(many, 2) == {0: 43, 1: 43}
  assert "process 2 (node2, pid 77)" in capsys.readouterr().err


def test_an_exception_is_told_once_and_named_to_the_others(many, capsys):
  made = many(2)
  with pytest.raises(Left):
    made[1].fail(KeyError("shoe"), status=1, line="", debug=False)
  assert wait_for(many, 2) == {0: 43, 1: 1}
  said = capsys.readouterr().err
  assert said.count("KeyError: 'shoe'\n") == 1, "the traceback"
  assert "process lost: process 1 (" in said and "failed: KeyError: 'shoe'; start" in said


def test_a_mistake_ends_all_with_its_status_and_one_line(many, capsys):
  made = many(3)
  with pytest.raises(Left):
    made[2].fail(ValueError("x"), status=2, line="error: --config.x: wrong", debug=False)
  assert wait_for(many, 3) == {0: 2, 1: 2, 2: 2}
  said = capsys.readouterr().err.splitlines()
  assert said.count("pretrain: error: --config.x: wrong") == 1
  (first,) = (line for line in said if "says process 2" in line)
  assert first.startswith("pretrain: error: --config.x: wrong (says process 2 (")
  assert len(said) == 2


def test_whoever_ends_without_a_word_is_named_at_once(many, capsys):
  here, there = socket.socketpair()
  made = many(2, start=(0,), connections={1: here})
  made[1]._store("name/1", "node1, pid 77")
  struck = time.monotonic()
  there.close()
  assert wait_for(many, 1) == {0: 43}
  assert time.monotonic() - struck < 2, "no patience of 30 s"
  assert "process 1 (node1, pid 77) has ended without a word" in capsys.readouterr().err


def test_whoever_said_why_before_it_ended_is_believed(many, capsys):
  here, there = socket.socketpair()
  made = many(2, start=(0,), connections={1: here})
  made[1]._set_verdict(Verdict("ValueError: shapes", 1, 1))
  there.close()
  assert wait_for(many, 1) == {0: 43}
  assert "failed: ValueError: shapes" in capsys.readouterr().err


def test_no_progress_ends_all_and_names_who_is_waited_for(many, capsys, monkeypatch):
  """Processes 0 and 2 wait in a step for process 1, which waits for its data."""
  stacks = []
  monkeypatch.setattr(heartbeats, "write_stacks", lambda: stacks.append(1))
  phases = {0: "step", 1: "data", 2: "step"}
  dogs = {}
  for index, phase in phases.items():
    dogs[index] = Watchdog(0.0)
    dogs[index]._phases, dogs[index]._step = (phase,), 8
  made = many(3, dogs=dogs)
  time.sleep(0.2)  # beats
  with pytest.raises(Left):
    made[2].end_all("no progress for 9 s in phase 'step' at step 8", STUCK)
  assert wait_for(many, 3) == {0: STUCK, 1: STUCK, 2: STUCK}
  connections = capsys.readouterr().err.splitlines()
  assert len(connections) == 3 and len(set(connections)) == 1
  assert connections[0].startswith("pretrain: no progress for 9 s: process 1 (")
  assert "in phase 'data' at step 8; start the same command" in connections[0]
  assert "process 0" not in connections[0] and "process 2" not in connections[0]
  assert len(stacks) == 3, "each writes its own"


def test_whoever_waits_for_one_that_compiles_is_not_stuck(many):
  dogs = {index: Watchdog(0.0) for index in range(2)}
  dogs[0]._phases, dogs[1]._phases = ("step",), ("step", "start")
  made = many(2, dogs=dogs)
  time.sleep(0.2)
  made[0].end_all("no progress for 9 s in phase 'step' at step 1", STUCK)
  assert many.ends == {} and made[0]._get_verdict() is None


def test_where_all_wait_in_a_step_all_are_named(many, capsys):
  dogs = {index: Watchdog(0.0) for index in range(2)}
  for dog in dogs.values():
    dog._phases = ("step",)
  made = many(2, dogs=dogs)
  time.sleep(0.2)
  with pytest.raises(Left):
    made[1].end_all("no progress for 9 s in phase 'step' at step 8", STUCK)
  wait_for(many, 2)
  said = capsys.readouterr().err
  assert "process 0 (" in said and "process 1 (" in said


def test_all_processes_may_end(many):
  made = many(2)
  made[0].stop()
  made[1].stop()
  assert many.ends == {}

"""Heartbeats of the processes of a run: a lost one is named, and all others end at once.

JAX alone notices late that a process is gone (by its own heartbeats), and that one ended with an
exception only at its exit barrier. Here each process writes a heartbeat every second into the
key-value store of JAX's coordination service, and process 0 checks them. A process that fails
writes a verdict there, which ends all of them, and exits at once.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from pretrainjax.process.distributed import PeerLost, client
from pretrainjax.process.ending import GO_ON, flush
from pretrainjax.process.rendezvous import ended_processes
from pretrainjax.process.watchdog import STUCK, Activity, Watchdog, write_stacks

PEER_LOST = 43
# Keys of the store.
_STORE = "pretrainjax/life"
_VERDICT = "pretrainjax/verdict/0"
# Seconds: between heartbeats; in which a live process surely sends one; to read the verdict.
_HEARTBEAT, _PROMPT, _GRACE = 1.0, 3.0, 0.5
# What XLA, gloo, NCCL and the coordination service say when the other side is gone.
_PEER_FAILURES = (
  "Gloo",
  "NCCL",
  "coordination service",
  "CoordinationService",
  "Connection reset by peer",
  "Socket closed",
  "DEADLINE_EXCEEDED",
  "UNAVAILABLE",
)


class Verdict(NamedTuple):
  """The reason why the run ends, the same for all processes: the first one that knows sets it.

  Attributes:
    text: the reason, in one line.
    status: the exit status of the process that set it.
    by: the rank of that process; -1 where the reason is that others are lost.
  """

  text: str
  status: int
  by: int


class Heartbeats:
  """Sends the heartbeats of this process, and ends it where the run ends; process 0 checks all."""

  def __init__(
    self,
    *,
    verb: str,
    index: int,
    count: int,
    address: str,
    heartbeat_timeout: float,
    watchdog: Watchdog | None = None,
    exit_process: Callable[[int], Any] = os._exit,
  ):
    """Prepares the heartbeats, without starting their thread.

    Args:
      verb: the name of the binary, for messages.
      index: the rank of this process.
      count: the number of processes.
      address: HOST:PORT of the coordinator.
      heartbeat_timeout: seconds without a heartbeat after which a process counts as lost.
      watchdog: what knows the phase that this process is in, which each heartbeat tells the others.
      exit_process: the function that ends the process with an exit status, without any clean-up,
        which would wait for processes that are gone.
    """
    self._verb, self._index, self._count, self._address = verb, index, count, address
    self._heartbeat_timeout, self._exit_process = heartbeat_timeout, exit_process
    self._watchdog = watchdog or Watchdog(0.0)
    self._ended = threading.Event()
    self._ending = threading.Lock()
    self._connected, self._num_heartbeats = False, 0
    self._names: dict[int, str] = {}
    self._connections: dict[int, socket.socket] = {}
    self._thread: threading.Thread | None = None
    self._abort_handler = _on_abort(self._aborted)  # kept alive as long as this is

  def start(self, connections: dict[int, socket.socket] | None = None) -> None:
    """Starts the thread of heartbeats, once JAX's processes are connected.

    Args:
      connections: the connections to other processes by rank, which close when these end; see
        `distributed.connect`.
    """
    self._connected, self._connections = True, connections or {}
    self._store(f"name/{self._index}", f"{socket.gethostname()}, pid {os.getpid()}")
    target = self._monitor if self._index == 0 else self._wait_for_verdict
    self._thread = threading.Thread(target=target, daemon=True, name="heartbeats")
    self._thread.start()

  def stop(self) -> None:
    """Stops the heartbeats once all processes are done: from now on none counts as lost."""
    self._ended.set()
    if self._index == 0:
      self._set_verdict(Verdict("done", 0, 0))  # wakes the others' threads
    if self._thread is not None:
      self._thread.join()

  def close(self) -> None:
    """Gives SIGABRT its default handler back, once the process has left the run."""
    _on_abort(None)

  def fail(self, error: BaseException, *, status: int, line: str, debug: bool) -> None:
    """Ends this process because of an error, and tells the others.

    Args:
      error: the exception that was raised in this process.
      status: the exit status where no other process caused the error.
      line: the message for the user; "" prints the traceback instead.
      debug: whether to print the traceback in any case.
    """
    if debug or (not line and not is_peer_failure(error)):
      trace = "".join(traceback.format_exception(error))
    else:
      trace = ""
    if is_peer_failure(error):
      self._await_verdict(error, trace)
    own = Verdict(line or " ".join(f"{type(error).__name__}: {error}".split()), status, self._index)
    verdict = self._set_verdict(own)
    if self._index and verdict is not None and verdict.text == own.text and verdict != own:
      self._end("", status)  # all processes made the same mistake, and another one has said it
    self._end(trace + (f"{self._verb}: {line}\n" if line else ""), status)

  def end_all(self, line: str, status: int) -> None:
    """Ends all processes for a reason that is no error of one of them.

    A process that waits for another one's compilation is not stuck: then nothing is done.

    Args:
      line: what happened, in one line.
      status: the exit status of all: STUCK, whose message names the phase of each process, or 1.
    """
    activities = self._activities() if status == STUCK else {}
    if any(one.phase == "start" for one in activities.values()):
      return
    verdict = Verdict(self._locate(line, activities) if activities else line, status, self._index)
    held = self._set_verdict(verdict)
    if held is not None and held != verdict:
      self._follow_verdict(held)  # another process was first
    self._end(f"{self._verb}: {verdict.text}; {GO_ON}\n", status)

  # --- threads ------------------------------------------------------------------------------

  def _wait_for_verdict(self) -> None:
    """On all processes but 0: sends heartbeats, and ends the process when there is a verdict."""
    while not self._ended.is_set():
      try:
        self._send_heartbeat()
        self._read_names()
        text = client().blocking_key_value_get(_VERDICT, int(_HEARTBEAT * 1000))
      except Exception:  # no verdict in this second; or no service, which aborts the process
        continue
      self._follow_verdict(Verdict(*json.loads(text)))

  def _monitor(self) -> None:
    """On process 0: checks all heartbeats, sets the verdict, and ends when there is one."""
    heartbeats: dict[int, tuple[str, float]] = {}
    started, trouble = time.monotonic(), None
    while not self._ended.is_set():
      ended = ended_processes(self._connections, seconds=_HEARTBEAT / 2)
      self._send_heartbeat()
      now, notes = time.monotonic(), self._read_store()
      self._read_names(notes)
      if ended and not self._ended.is_set():  # one with a reason has given it already
        self._set_verdict(
          Verdict(f"{self._describe(ended)} has ended without a word", PEER_LOST, -1)
        )
      for index in range(1, self._count):
        heartbeat = notes.get(f"beat/{index}", "")
        if index not in heartbeats or heartbeats[index][0] != heartbeat:
          heartbeats[index] = (heartbeat, now if heartbeat else started)
      if trouble is None and any(name.startswith("trouble/") for name in notes):
        trouble = now
      lost = lost_processes(heartbeats, now=now, timeout=self._heartbeat_timeout, trouble=trouble)
      if lost:
        waited = self._heartbeat_timeout if trouble is None else _PROMPT
        self._set_verdict(
          Verdict(f"{self._describe(lost)} did not answer for {waited:.0f} s", PEER_LOST, -1)
        )
      elif trouble is not None and now - trouble > 2 * _PROMPT:
        said = next(text for name, text in notes.items() if name.startswith("trouble/"))
        self._set_verdict(
          Verdict(f"all processes live, but a connection broke: {said}", PEER_LOST, -1)
        )
      if verdict := self._get_verdict():
        self._follow_verdict(verdict)

  # --- how it ends --------------------------------------------------------------------------

  def _await_verdict(self, error: BaseException, trace: str) -> None:
    """After a failed call to other processes: waits for process 0 to find out which one is lost."""
    sys.stderr.write(trace)
    said = " ".join(str(error).split())[:300]
    self._store(f"trouble/{self._index}", said)
    time.sleep(3 * _PROMPT)  # the thread ends the process
    self._end(f"{self._lost_message(said)}\n", PEER_LOST)

  def _follow_verdict(self, verdict: Verdict) -> None:
    """Ends this process as the verdict says; the process that set it ends by itself."""
    if verdict.by == self._index or verdict.status == 0:
      return
    if verdict.status == PEER_LOST:
      line = self._lost_message(verdict.text)
    elif verdict.status == 1:
      line = self._lost_message(f"{self._describe([verdict.by])} failed: {verdict.text}")
    elif verdict.status == STUCK:
      line = f"{self._verb}: {verdict.text}; {GO_ON}"
    else:  # mistakes and interruptions are every process's, and told by the one who spoke first
      said = f"{self._verb}: {verdict.text} (says {self._describe([verdict.by])})"
      line = said if self._index == 0 else ""
    status = PEER_LOST if verdict.status == 1 else verdict.status
    self._end(f"{line}\n" if line else "", status)

  def _aborted(self) -> None:
    """Names the reason when XLA aborts the process, as it does when process 0 is gone."""
    if not self._connected:
      self._end(
        f"{self._verb}: could not join the run at {self._address}: process 0 does not answer "
        "there, or others did not come within --initialization_timeout\n",
        PEER_LOST,
      )
    text = "XLA's message above names it"
    if self._index and not _is_listening(self._address):
      text = f"{self._describe([0])}, the coordinator, is gone"
    elif self._index:  # or it would have judged before XLA did
      text = f"{self._describe([0])}, the coordinator, is silent, or {text}"
    self._end(f"{self._lost_message(text)}\n", PEER_LOST)

  def _end(self, text: str, status: int) -> None:
    with self._ending:  # one thread speaks, and the process ends with it
      flush()
      if status == STUCK:
        write_stacks()
      sys.stderr.write(text)
      flush()
      if self._index == 0 and self._connected:  # the service ends with this process
        time.sleep(_GRACE)
      self._exit_process(status)

  # --- messages --------------------------------------------------------------------------------

  def _lost_message(self, text: str) -> str:
    return f"{self._verb}: process lost: {text}; {GO_ON}"

  def _activities(self) -> dict[int, Activity]:
    """What each process does now, or did a second ago."""
    notes = self._read_store()
    self._read_names(notes)
    activities = {self._index: self._watchdog.activity()}
    for name, text in notes.items():
      if name.startswith("beat/") and (index := int(name.removeprefix("beat/"))) not in activities:
        activities[index] = Activity(*json.loads(text)[1:])
    return activities

  def _locate(self, line: str, activities: dict[int, Activity]) -> str:
    """The message that names the phase of each process that is not merely waiting in a step."""
    elsewhere = {i: d for i, d in activities.items() if d.phase != "step"} or activities
    said = "; ".join(f"{self._describe([i])} {d}" for i, d in sorted(elsewhere.items()))
    return f"{line.partition(' in phase')[0]}: {said}"

  def _describe(self, indices: list[int]) -> str:
    return " and ".join(f"process {i} ({self._names.get(i, 'never seen')})" for i in indices)

  # --- the store ----------------------------------------------------------------------------

  def _send_heartbeat(self) -> None:
    """Writes this process's heartbeat into the store, with the phase that it is in."""
    self._num_heartbeats += 1
    self._store(
      f"beat/{self._index}", json.dumps([self._num_heartbeats, *self._watchdog.activity()])
    )

  def _store(self, name: str, text: str) -> None:
    try:
      client().key_value_set(f"{_STORE}/{name}", text, allow_overwrite=True)
    except Exception:  # no service: XLA aborts the process
      return

  def _read_store(self) -> dict[str, str]:
    try:
      pairs = client().key_value_dir_get(_STORE)
    except Exception:
      return {}
    return {key.removeprefix(f"{_STORE}/"): text for key, text in pairs}

  def _read_names(self, notes: dict[str, str] | None = None) -> None:
    if len(self._names) < self._count:
      notes = self._read_store() if notes is None else notes
      names = {k.removeprefix("name/"): v for k, v in notes.items() if k.startswith("name/")}
      self._names = {int(index): name for index, name in names.items()}

  def _set_verdict(self, verdict: Verdict) -> Verdict | None:
    """Sets the verdict unless there is one already; returns the one that holds."""
    try:
      client().key_value_set(_VERDICT, json.dumps(verdict))
    except Exception:  # it is there
      return self._get_verdict()
    return verdict

  def _get_verdict(self) -> Verdict | None:
    try:
      pairs = client().key_value_dir_get(_VERDICT.rpartition("/")[0])
    except Exception:
      return None
    return Verdict(*json.loads(pairs[0][1])) if pairs else None


def lost_processes(
  heartbeats: dict[int, tuple[str, float]],
  *,
  now: float,
  timeout: float,
  trouble: float | None,
) -> list[int]:
  """The ranks of the processes whose heartbeats have stopped.

  Args:
    heartbeats: the last heartbeat of each process by rank, and when it was first seen.
    now: the time in seconds, on the clock of `heartbeats`.
    timeout: seconds without a heartbeat after which a process is lost, where no call has failed.
    trouble: when a call between processes failed, None where none did; live processes send another
      heartbeat soon after it.
  """
  if trouble is not None:
    # A heartbeat that was seen together with the trouble may have been the last one.
    return [i for i, (_, seen) in heartbeats.items() if seen <= trouble and now - trouble > _PROMPT]
  return [i for i, (_, seen) in heartbeats.items() if now - seen > timeout]


def is_peer_failure(error: BaseException | None) -> bool:
  """Whether an exception says that another process is gone, not that this one made a mistake."""
  while error is not None:
    if isinstance(error, PeerLost) or any(sign in str(error) for sign in _PEER_FAILURES):
      return True
    error = error.__cause__
  return False


def _is_listening(address: str) -> bool:
  host, _, port = address.rpartition(":")
  try:
    with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
      return True
  except OSError:
    return False


def _on_abort(act: Callable[[], None] | None) -> Any:
  """Calls `act` on SIGABRT, in the thread that aborts: Python's own handlers would never run."""
  libc = ctypes.CDLL(None)
  libc.signal.restype = ctypes.c_void_p
  if act is None:
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal(signal.SIGABRT, None)  # the default
    return None
  kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
  handler = kind(lambda _: act())
  libc.signal.argtypes = [ctypes.c_int, kind]
  libc.signal(signal.SIGABRT, handler)
  return handler

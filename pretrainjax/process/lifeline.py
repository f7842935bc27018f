"""How processes of one run end together: who is lost is named, and nobody waits for the dead.

JAX alone learns late of a dead process (heartbeats), and of one that left with an exception only at
its exit barrier. Here each process beats in the coordination service's store, process 0 looks on,
and whoever fails leaves a last word there, then leaves at once.
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
from pretrainjax.process.rendezvous import ended
from pretrainjax.process.watchdog import STUCK, Doing, Watchdog, write_stacks

PEER_LOST = 43
# Keys of the store.
_LIFE = "pretrainjax/life"
_VERDICT = "pretrainjax/verdict/0"
# Seconds: between beats; in which the living beat surely; that others need to read the verdict.
_BEAT, _SOON, _GRACE = 1.0, 3.0, 0.5
# What XLA, gloo, NCCL and the coordination service say when the other side is gone.
_SIGNS = (
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
  """Why the run ends, the same for all processes: the first who knows says it.

  Attributes:
    text: in one line.
    status: exit status of the one who said it.
    by: its number; -1 where it is said of others.
  """

  text: str
  status: int
  by: int


class Lifeline:
  """This process's tie to the others, from the start of a run to its end."""

  def __init__(
    self,
    *,
    verb: str,
    index: int,
    count: int,
    address: str,
    patience: float,
    watchdog: Watchdog | None = None,
    leave: Callable[[int], Any] = os._exit,
  ):
    """Makes it; nothing runs yet.

    Args:
      verb: of the binary, for messages.
      index: this process's number.
      count: of processes.
      address: of the coordinator.
      patience: seconds of silence after which a process is lost.
      watchdog: knows what this process does, which each beat tells the others.
      leave: ends the process with a status, without any cleaning up, which would wait for the dead.
    """
    self._verb, self._index, self._count, self._address = verb, index, count, address
    self._patience, self._leave = patience, leave
    self._watchdog = watchdog or Watchdog(0.0)
    self._ended = threading.Event()
    self._speaking = threading.Lock()
    self._connected, self._beats = False, 0
    self._names: dict[int, str] = {}
    self._lines: dict[int, socket.socket] = {}
    self._thread: threading.Thread | None = None
    self._abort_handler = _on_abort(self._aborted)  # kept alive as long as this is

  def start(self, lines: dict[int, socket.socket] | None = None) -> None:
    """Begins to beat and to look after the others; JAX's processes are connected.

    Args:
      lines: to other processes, by number, which end with them; see `connect`.
    """
    self._connected, self._lines = True, lines or {}
    self._put(f"name/{self._index}", f"{socket.gethostname()}, pid {os.getpid()}")
    target = self._look_on if self._index == 0 else self._listen
    self._thread = threading.Thread(target=target, daemon=True, name="lifeline")
    self._thread.start()

  def stop(self) -> None:
    """All processes are done: from now on nobody is missed."""
    self._ended.set()
    if self._index == 0:
      self._say(Verdict("done", 0, 0))  # wakes the others' threads
    if self._thread is not None:
      self._thread.join()

  def close(self) -> None:
    """The process has left the run, too: from now on an abort is one."""
    _on_abort(None)

  def fail(self, error: BaseException, *, status: int, line: str, debug: bool) -> None:
    """Ends this process because of an error, and tells the others.

    Args:
      error: this process's.
      status: to end with where the error is its own.
      line: said of it; "" prints the traceback.
      debug: print the traceback in any case.
    """
    if debug or (not line and not is_of_others(error)):
      trace = "".join(traceback.format_exception(error))
    else:
      trace = ""
    if is_of_others(error):
      self._blame_others(error, trace)
    own = Verdict(line or " ".join(f"{type(error).__name__}: {error}".split()), status, self._index)
    verdict = self._say(own)
    if self._index and verdict is not None and verdict.text == own.text and verdict != own:
      self._end("", status)  # all processes made the same mistake, and another one has said it
    self._end(trace + (f"{self._verb}: {line}\n" if line else ""), status)

  def give_up(self, line: str, status: int) -> None:
    """Ends all processes for a reason that is no error of one of them.

    Whoever waits for a process that still compiles is not stuck: then nothing is done.

    Args:
      line: what happened.
      status: STUCK, which all end with, saying where they are; or 1.
    """
    doing = self._doing() if status == STUCK else {}
    if any(one.phase == "start" for one in doing.values()):
      return
    verdict = Verdict(self._where(line, doing) if doing else line, status, self._index)
    held = self._say(verdict)
    if held is not None and held != verdict:
      self._obey(held)  # another process was first
    self._end(f"{self._verb}: {verdict.text}; {GO_ON}\n", status)

  # --- threads ------------------------------------------------------------------------------

  def _listen(self) -> None:
    """On all but process 0: beat, and leave when there is a verdict."""
    while not self._ended.is_set():
      try:
        self._beat()
        self._read_names()
        text = client().blocking_key_value_get(_VERDICT, int(_BEAT * 1000))
      except Exception:  # no verdict in this second; or no service, which aborts the process
        continue
      self._obey(Verdict(*json.loads(text)))

  def _look_on(self) -> None:
    """On process 0: watch the beats, judge, and leave when there is a verdict."""
    beats: dict[int, tuple[str, float]] = {}
    born, trouble = time.monotonic(), None
    while not self._ended.is_set():
      gone = ended(self._lines, seconds=_BEAT / 2)
      self._beat()
      now, notes = time.monotonic(), self._notes()
      self._read_names(notes)
      if gone and not self._ended.is_set():  # one with a reason has given it already
        self._say(Verdict(f"{self._list(gone)} has ended without a word", PEER_LOST, -1))
      for index in range(1, self._count):
        beat = notes.get(f"beat/{index}", "")
        if index not in beats or beats[index][0] != beat:
          beats[index] = (beat, now if beat else born)
      if trouble is None and any(name.startswith("trouble/") for name in notes):
        trouble = now
      lost = silent(beats, now=now, patience=self._patience, trouble=trouble)
      if lost:
        waited = self._patience if trouble is None else _SOON
        self._say(Verdict(f"{self._list(lost)} did not answer for {waited:.0f} s", PEER_LOST, -1))
      elif trouble is not None and now - trouble > 2 * _SOON:
        said = next(text for name, text in notes.items() if name.startswith("trouble/"))
        self._say(Verdict(f"all processes live, but a connection broke: {said}", PEER_LOST, -1))
      if verdict := self._verdict():
        self._obey(verdict)

  # --- how it ends --------------------------------------------------------------------------

  def _blame_others(self, error: BaseException, trace: str) -> None:
    """A call to others failed: waits for process 0 to find out whose fault that is."""
    sys.stderr.write(trace)
    said = " ".join(str(error).split())[:300]
    self._put(f"trouble/{self._index}", said)
    time.sleep(3 * _SOON)  # the thread ends the process
    self._end(f"{self._lost(said)}\n", PEER_LOST)

  def _obey(self, verdict: Verdict) -> None:
    """Ends this process as the verdict says; the one who said it ends itself."""
    if verdict.by == self._index or verdict.status == 0:
      return
    if verdict.status == PEER_LOST:
      line = self._lost(verdict.text)
    elif verdict.status == 1:
      line = self._lost(f"{self._list([verdict.by])} failed: {verdict.text}")
    elif verdict.status == STUCK:
      line = f"{self._verb}: {verdict.text}; {GO_ON}"
    else:  # mistakes and interruptions are every process's, and told by the one who spoke first
      said = f"{self._verb}: {verdict.text} (says {self._list([verdict.by])})"
      line = said if self._index == 0 else ""
    status = PEER_LOST if verdict.status == 1 else verdict.status
    self._end(f"{line}\n" if line else "", status)

  def _aborted(self) -> None:
    """XLA ends the process, as it does when process 0 is gone; it has said much already."""
    if not self._connected:
      self._end(
        f"{self._verb}: could not join the run at {self._address}: process 0 does not answer "
        "there, or others did not come within --initialization_timeout\n",
        PEER_LOST,
      )
    text = "XLA's message above names it"
    if self._index and not _answers(self._address):
      text = f"{self._list([0])}, the coordinator, is gone"
    elif self._index:  # or it would have judged before XLA did
      text = f"{self._list([0])}, the coordinator, is silent, or {text}"
    self._end(f"{self._lost(text)}\n", PEER_LOST)

  def _end(self, text: str, status: int) -> None:
    with self._speaking:  # one thread speaks, and the process ends with it
      flush()
      if status == STUCK:
        write_stacks()
      sys.stderr.write(text)
      flush()
      if self._index == 0 and self._connected:  # the service ends with this process
        time.sleep(_GRACE)
      self._leave(status)

  # --- words --------------------------------------------------------------------------------

  def _lost(self, text: str) -> str:
    return f"{self._verb}: process lost: {text}; {GO_ON}"

  def _doing(self) -> dict[int, Doing]:
    """What each process does, or did a second ago."""
    notes = self._notes()
    self._read_names(notes)
    doing = {self._index: self._watchdog.doing()}
    for name, text in notes.items():
      if name.startswith("beat/") and (index := int(name.removeprefix("beat/"))) not in doing:
        doing[index] = Doing(*json.loads(text)[1:])
    return doing

  def _where(self, line: str, doing: dict[int, Doing]) -> str:
    """Who is in which phase: those who wait in a step may wait for one that does not come."""
    elsewhere = {i: d for i, d in doing.items() if d.phase != "step"} or doing
    said = "; ".join(f"{self._list([i])} {d}" for i, d in sorted(elsewhere.items()))
    return f"{line.partition(' in phase')[0]}: {said}"

  def _list(self, indices: list[int]) -> str:
    return " and ".join(f"process {i} ({self._names.get(i, 'never seen')})" for i in indices)

  # --- the store ----------------------------------------------------------------------------

  def _beat(self) -> None:
    """Says that this process lives, and what it does."""
    self._beats += 1
    self._put(f"beat/{self._index}", json.dumps([self._beats, *self._watchdog.doing()]))

  def _put(self, name: str, text: str) -> None:
    try:
      client().key_value_set(f"{_LIFE}/{name}", text, allow_overwrite=True)
    except Exception:  # no service: XLA aborts the process
      return

  def _notes(self) -> dict[str, str]:
    try:
      pairs = client().key_value_dir_get(_LIFE)
    except Exception:
      return {}
    return {key.removeprefix(f"{_LIFE}/"): text for key, text in pairs}

  def _read_names(self, notes: dict[str, str] | None = None) -> None:
    if len(self._names) < self._count:
      notes = self._notes() if notes is None else notes
      names = {k.removeprefix("name/"): v for k, v in notes.items() if k.startswith("name/")}
      self._names = {int(index): name for index, name in names.items()}

  def _say(self, verdict: Verdict) -> Verdict | None:
    """Sets the verdict unless there is one; the one that holds."""
    try:
      client().key_value_set(_VERDICT, json.dumps(verdict))
    except Exception:  # it is there
      return self._verdict()
    return verdict

  def _verdict(self) -> Verdict | None:
    try:
      pairs = client().key_value_dir_get(_VERDICT.rpartition("/")[0])
    except Exception:
      return None
    return Verdict(*json.loads(pairs[0][1])) if pairs else None


def silent(
  beats: dict[int, tuple[str, float]], *, now: float, patience: float, trouble: float | None
) -> list[int]:
  """Numbers of the processes that are lost.

  Args:
    beats: by process, its last beat and when it was first seen.
    now: in seconds, like the times of `beats`.
    patience: seconds without a beat, where nothing else is known.
    trouble: when a call between processes failed; the living beat again soon after.
  """
  if trouble is not None:
    # A beat that was seen together with the trouble may have been the last one.
    return [i for i, (_, seen) in beats.items() if seen <= trouble and now - trouble > _SOON]
  return [i for i, (_, seen) in beats.items() if now - seen > patience]


def is_of_others(error: BaseException | None) -> bool:
  """Whether an error says that another process is gone, and not that this one made a mistake."""
  while error is not None:
    if isinstance(error, PeerLost) or any(sign in str(error) for sign in _SIGNS):
      return True
    error = error.__cause__
  return False


def _answers(address: str) -> bool:
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

"""A lock that lets one run at a time write a folder, with a heartbeat: WORKDIR/.lock.

It needs nothing of the file system but to make a file that must not exist yet, so that it works on
network folders without flock. The clocks of other hosts are not used: a run of another host is dead
when its heartbeat stands still while another run watches.
"""

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pretrainjax.errors import UserError
from pretrainjax.untrusted import BadFile, read_json

NAME = ".lock"
# Seconds: between heartbeats; without one, after which a lock is stale; to write a new lock.
_HEARTBEAT, _STALE_AFTER, _WRITE_SECONDS = 5.0, 60.0, 2.0
# All contents have this length: a heartbeat overwrites the one before.
_LENGTH = 600
_LARGEST = 1 << 16
_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Owner:
  """The process that holds the lock of a folder.

  Attributes:
    host: the name of its host.
    machine: the boot id of that host and the process's PID namespace; process ids can be compared
      where these are the same.
    pid: the process id.
    born: when the process began, in the kernel's count; process ids are used again, these are not.
    since: the time of day when the lock was taken, for messages.
    token: a random name of this lock.
  """

  host: str
  machine: str
  pid: int
  born: str
  since: str
  token: str

  @classmethod
  def me(cls) -> "_Owner":
    """Makes the owner for this process, with a new token."""
    pid, now = os.getpid(), datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return cls(socket.gethostname(), _machine(), pid, _start_time(pid), now, secrets.token_hex(8))

  def check(self) -> None:
    """Raises ValueError or TypeError for what no run of ours has written."""
    words = (self.host, self.machine, self.born, self.since, self.token)
    if type(self.pid) is not int or not all(isinstance(word, str) for word in words):
      raise TypeError("an owner is a number and words")
    if datetime.datetime.fromisoformat(self.since).tzinfo is None:
      raise ValueError("a time of no place")

  def __str__(self) -> str:
    since = datetime.datetime.fromisoformat(self.since)
    age = datetime.datetime.now(datetime.UTC) - since
    minutes = max(int(age.total_seconds() // 60), 0)  # their clock may go before ours
    hours = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return f"pid {self.pid} on {self.host}, since {since:%Y-%m-%d %H:%M:%S} UTC, {hours} ago"


class Lock:
  """The lock of a folder, held by this process until `release`."""

  def __init__(self, path: Path, owner: _Owner, handle: int, on_lost: Callable[[str], None]):
    """See `acquire`."""
    self._path, self._owner, self._handle, self._on_lost = path, owner, handle, on_lost
    self._num_heartbeats = 0
    self._released, self._writing = threading.Event(), threading.Lock()
    self._thread = threading.Thread(target=self._send_heartbeats, daemon=True, name="lock")
    self._thread.start()

  def release(self) -> None:
    """Releases the folder; safe to call twice, and from any thread."""
    with self._writing:  # or a heartbeat would make the file anew
      if self._released.is_set():
        return
      self._released.set()
      found = _read(self._path)
      if found is not None and found.owner.token == self._owner.token:
        self._path.unlink(missing_ok=True)

  def _send_heartbeats(self) -> None:
    while not self._released.wait(_HEARTBEAT):
      try:
        with self._writing:
          other = None if self._released.is_set() else self._send_heartbeat()
      except OSError as error:  # a network may come back before the next heartbeat
        _log.warning("%s: cannot be written (%s)", self._path, error.strerror)
        continue
      if other is not None:
        self._on_lost(
          f"the lock of this run, {self._path}, was taken by {other}: two must not write one folder"
        )
        break
    os.close(self._handle)

  def _send_heartbeat(self) -> _Owner | None:
    """Writes one heartbeat; returns the owner of the lock where that is another process by now."""
    found = _read(self._path)
    if found is None and not os.path.lexists(
      self._path
    ):  # deleted by hand: this run lives all the same
      handle = _make(self._path, self._owner)
      os.close(self._handle)
      self._handle = handle
    if found is not None and found.owner.token != self._owner.token:
      return found.owner
    self._num_heartbeats += 1
    # Through the file that was made: should another one have its name by now, it is left alone.
    _write(self._handle, self._owner, self._num_heartbeats)
    return None


def acquire(
  workdir: Path, *, on_lost: Callable[[str], None], stale_after: float = _STALE_AFTER
) -> Lock:
  """Acquires the lock of a folder, or refuses where a live run holds it.

  Args:
    workdir: the folder, which exists.
    on_lost: the function that is called in a thread with one line where another run has taken the
      lock, and that ends the process.
    stale_after: seconds to watch the lock of another host, which is stale without a heartbeat.

  Returns:
    The lock, to be released.

  Raises:
    UserError: where a live run holds the lock, naming it.
  """
  path, owner = workdir / NAME, _Owner.me()
  while True:
    try:
      handle = _make(path, owner)
    except FileExistsError:
      _remove_stale(path, stale_after)
    except OSError as error:
      raise UserError(f"--workdir: cannot write '{path}' ({error.strerror})") from error
    else:
      return Lock(path, owner, handle, on_lost)


def _make(path: Path, owner: _Owner) -> int:
  """Makes the file of the lock, at once whole where the file system can; returns it open."""
  draft = path.with_name(f"{NAME}.{owner.token}")
  handle = os.open(draft, _NEW, 0o644)
  try:
    _write(handle, owner, 0)
    try:
      os.link(draft, path)
      return handle
    except FileExistsError:
      os.close(handle)
      raise
    except OSError:  # no hard links here
      os.close(handle)
  finally:
    draft.unlink(missing_ok=True)
  handle = os.open(path, _NEW, 0o644)
  _write(handle, owner, 0)
  return handle


def _remove_stale(path: Path, stale_after: float) -> None:
  """Removes a stale lock; raises UserError for one whose owner is alive."""
  found = _read(path)
  if found is None and not os.path.lexists(path):
    return  # it was released just now
  reason = "it names no owner" if found is None else _stale_reason(path, found, stale_after)
  if found is not None and reason is None:
    owner = (_read(path) or found).owner
    raise UserError(
      f"--workdir: '{path.parent}' is in use by a run that is alive: {owner}; wait for it, end "
      f"it, or choose another --workdir (or delete {path}, if there is no such run)"
    )
  with _exclusively(path.with_name(f"{NAME}.taking")):
    now = _read(path, seconds=0.0 if found else _WRITE_SECONDS)  # it may be unfinished
    same = found.owner.token == now.owner.token if found and now else found is now
    if same:  # or another run was quicker, and this is its own
      path.unlink(missing_ok=True)
      whose = "an unknown run" if found is None else found.owner
      _log.warning("%s of %s was left behind (%s) and is taken over", path, whose, reason)


@contextlib.contextmanager
def _exclusively(path: Path) -> Iterator[None]:
  """Lets one process at a time inside; one that ended inside is waited for a few seconds only."""
  end = time.monotonic() + 5 * _WRITE_SECONDS
  while True:
    try:
      os.close(os.open(path, _NEW, 0o644))
      break
    except FileExistsError:
      if time.monotonic() > end:
        path.unlink(missing_ok=True)
      time.sleep(0.05)
  try:
    yield
  finally:
    path.unlink(missing_ok=True)


def _stale_reason(path: Path, found: "_LockFile", stale_after: float) -> str | None:
  """The reason why the owner of a lock is not alive; None where it is."""
  owner = found.owner
  if owner.machine == _machine() and owner.host == socket.gethostname():
    born = _start_time(owner.pid)
    if not born:
      return "no such process"
    return None if born == owner.born else "its number is another process's by now"
  _log.warning("%s is %s; watching for %.0f s whether its run is alive", path, owner, stale_after)
  end = time.monotonic() + stale_after
  while time.monotonic() < end:
    time.sleep(min(0.5, stale_after / 4))
    now = _read(path)
    if now is not None and now != found:
      return None
  return f"no beat for {stale_after:.0f} s"


class _LockFile(NamedTuple):
  """The content of a lock: its owner, and the number of heartbeats so far."""

  owner: _Owner
  beats: int


def _read(path: Path, *, seconds: float = 0.0) -> _LockFile | None:
  """Reads a lock; None for one that cannot be read within so many seconds."""
  end = time.monotonic() + seconds
  while True:
    try:
      fields = read_json(path, limit=_LARGEST)
      owner = _Owner(**{f.name: fields[f.name] for f in dataclasses.fields(_Owner)})
      owner.check()
      return _LockFile(owner, int(fields["beats"]))
    except (BadFile, ValueError, KeyError, TypeError):
      if time.monotonic() >= end or not os.path.lexists(path):
        return None
    time.sleep(0.1)


def _write(handle: int, owner: _Owner, beats: int) -> None:
  text = json.dumps(dataclasses.asdict(owner) | {"beats": beats})
  os.pwrite(handle, f"{text:<{_LENGTH - 1}}\n".encode(), 0)
  os.fsync(handle)  # or another host would not see it


def _machine() -> str:
  """The boot id of this host and the PID namespace, within which process ids are unique."""
  try:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
  except OSError:  # no Linux: the host's name must do
    return ""


def _start_time(pid: int) -> str:
  """The time when a process began, "" for one that is gone."""
  try:
    state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
  except FileNotFoundError:
    pass
  if Path("/proc/self/stat").exists():
    return ""
  try:
    os.kill(pid, 0)
  except OSError:
    return ""
  return "unknown"

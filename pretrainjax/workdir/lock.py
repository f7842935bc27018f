"""One run a folder: WORKDIR/.lock says whose it is, and beats as long as that run lives.

Of the file system nothing is asked but making a file that must not exist yet, so that it works on
network folders without flock. No clock of another host is believed: a run of
another host is dead when its beat stands still while somebody watches.
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

NAME = ".lock"
# Seconds: between beats; of silence after which a run of another host is dead; to write a lock.
_BEAT, _SILENCE, _MOMENT = 5.0, 60.0, 2.0
# All contents have this length: a beat overwrites the one before.
_LENGTH = 600
_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Owner:
  """Whose a folder is.

  Attributes:
    host: its name.
    machine: this start of that host's system, and the process's view of it; process numbers mean
      something to whoever has the same.
    pid: of the process.
    born: when the process began, in the system's own count; numbers are used again, these are not.
    since: time of day, for people.
    token: of this lock, unlike all others.
  """

  host: str
  machine: str
  pid: int
  born: str
  since: str
  token: str

  @classmethod
  def me(cls) -> "Owner":
    """This process, with a new token."""
    pid, now = os.getpid(), datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return cls(socket.gethostname(), _machine(), pid, _born(pid), now, secrets.token_hex(8))

  def __str__(self) -> str:
    since = datetime.datetime.fromisoformat(self.since)
    age = datetime.datetime.now(datetime.UTC) - since
    minutes = max(int(age.total_seconds() // 60), 0)  # their clock may go before ours
    hours = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return f"pid {self.pid} on {self.host}, since {since:%Y-%m-%d %H:%M:%S} UTC, {hours} ago"


class Lock:
  """A folder that is this process's until `release`."""

  def __init__(self, path: Path, owner: Owner, handle: int, lost: Callable[[str], None]):
    """See `take`."""
    self._path, self._owner, self._handle, self._lost = path, owner, handle, lost
    self._beats = 0
    self._released, self._beating = threading.Event(), threading.Lock()
    self._thread = threading.Thread(target=self._beat, daemon=True, name="lock")
    self._thread.start()

  def release(self) -> None:
    """Gives the folder free; safe to call twice, and from any thread."""
    with self._beating:  # or a beat would make the file anew
      if self._released.is_set():
        return
      self._released.set()
      found = _read(self._path)
      if found is not None and found.owner.token == self._owner.token:
        self._path.unlink(missing_ok=True)

  def _beat(self) -> None:
    while not self._released.wait(_BEAT):
      try:
        with self._beating:
          taken_by = None if self._released.is_set() else self._beat_once()
      except OSError as error:  # a network may come back, and the next beat with it
        _log.warning("%s: cannot be written (%s)", self._path, error.strerror)
        continue
      if taken_by is not None:
        self._lost(
          f"the lock of this run, {self._path}, was taken by {taken_by}: two must not write one "
          "folder"
        )
        break
    os.close(self._handle)

  def _beat_once(self) -> Owner | None:
    """Shows that this run lives; whose the folder is, if it is another's by now."""
    found = _read(self._path)
    if found is None and not self._path.exists():  # deleted by hand: this run lives all the same
      handle = _make(self._path, self._owner)
      os.close(self._handle)
      self._handle = handle
    if found is not None and found.owner.token != self._owner.token:
      return found.owner
    self._beats += 1
    # Through the file that was made: should another one have its name by now, it is left alone.
    _write(self._handle, self._owner, self._beats)
    return None


def take(workdir: Path, *, lost: Callable[[str], None], silence: float = _SILENCE) -> Lock:
  """Makes `workdir` this process's, or refuses.

  Args:
    workdir: exists.
    lost: called in a thread with one line, where somebody else has taken the folder; it is to end
      the process.
    silence: seconds to watch the lock of another host, which then counts as left behind.

  Raises:
    UserError: where a run lives in the folder, naming it.
  """
  path, owner = workdir / NAME, Owner.me()
  while True:
    try:
      handle = _make(path, owner)
    except FileExistsError:
      _take_away(path, silence)
    except OSError as error:
      raise UserError(f"--workdir: cannot write '{path}' ({error.strerror})") from error
    else:
      return Lock(path, owner, handle, lost)


def _make(path: Path, owner: Owner) -> int:
  """Makes a lock that nobody sees unfinished, where the file system can; its open file."""
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


def _take_away(path: Path, silence: float) -> None:
  """Removes a lock that was left behind; raises UserError for one that was not."""
  found = _read(path)
  if found is None and not path.exists():
    return  # it was given free just now
  reason = "it names no owner" if found is None else _why_dead(path, found, silence)
  if found is not None and reason is None:
    owner = (_read(path) or found).owner
    raise UserError(
      f"--workdir: '{path.parent}' belongs to a run that lives: {owner}; wait for it, end it, or "
      f"choose another --workdir (or delete {path}, if there is no such run)"
    )
  with _alone(path.with_name(f"{NAME}.taking")):
    now = _read(path, seconds=0.0 if found else _MOMENT)  # it may be unfinished
    same = found.owner.token == now.owner.token if found and now else found is now
    if same:  # or another run was quicker, and this is its own
      path.unlink(missing_ok=True)
      whose = "an unknown run" if found is None else found.owner
      _log.warning("%s of %s was left behind (%s) and is taken over", path, whose, reason)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
  """Lets one at a time inside; whoever died inside is not waited for long."""
  end = time.monotonic() + 5 * _MOMENT
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


def _why_dead(path: Path, found: "Beat", silence: float) -> str | None:
  """Why the owner of a lock does not live any more; None where it does."""
  owner = found.owner
  if owner.machine == _machine() and owner.host == socket.gethostname():
    born = _born(owner.pid)
    if not born:
      return "no such process"
    return None if born == owner.born else "its number is another process's by now"
  _log.warning("%s is %s; watching for %.0f s whether it lives", path, owner, silence)
  end = time.monotonic() + silence
  while time.monotonic() < end:
    time.sleep(min(0.5, silence / 4))
    now = _read(path)
    if now is not None and now != found:
      return None
  return f"no beat for {silence:.0f} s"


class Beat(NamedTuple):
  """What a lock says: whose it is, and the count of its beats."""

  owner: Owner
  beats: int


def _read(path: Path, *, seconds: float = 0.0) -> Beat | None:
  """What a lock says; None for one that cannot be read, not within so many seconds."""
  end = time.monotonic() + seconds
  while True:
    try:
      fields = json.loads(path.read_text())
      owner = Owner(**{f.name: fields[f.name] for f in dataclasses.fields(Owner)})
      return Beat(owner, fields["beats"])
    except (OSError, ValueError, KeyError, TypeError):
      if time.monotonic() >= end or not path.exists():
        return None
    time.sleep(0.1)


def _write(handle: int, owner: Owner, beats: int) -> None:
  text = json.dumps(dataclasses.asdict(owner) | {"beats": beats})
  os.pwrite(handle, f"{text:<{_LENGTH - 1}}\n".encode(), 0)
  os.fsync(handle)  # or another host would not see it


def _machine() -> str:
  """What process numbers belong to: a start of the system, and a namespace in it."""
  try:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
  except OSError:  # no Linux: the host's name must do
    return ""


def _born(pid: int) -> str:
  """When a process began, "" for one that is gone."""
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

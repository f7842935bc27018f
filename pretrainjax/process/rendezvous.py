"""Before JAX connects the processes of a run: are they who they should be, and all there?

JAX ends a process with a wrong number, or one too many, by an abort after a time limit, and
believes process 0 where counts differ. So all come to the coordinator's port before JAX does, say
who they are, and hear what process 0 makes of it. The connections stay: one that ends says at once
that a process did.
"""

import contextlib
import json
import select
import selectors
import socket
import time
from typing import NamedTuple

from pretrainjax.errors import UserError

# Bytes of a word, at most; seconds between tries, and for one word.
_LONGEST, _AGAIN, _WORD = 4096, 0.2, 5.0


class PeerLost(Exception):
  """Another process is gone, or did not come where it was waited for."""


class Guest(NamedTuple):
  """A process, as it presents itself.

  Attributes:
    index: its number.
    count: of processes, as it was told.
    name: host and process, for people.
  """

  index: int
  count: int
  name: str


def receive(port: int, me: Guest, *, seconds: float) -> dict[int, socket.socket]:
  """On process 0: waits for all the others, and lets them go on together.

  Args:
    port: of the coordinator, free.
    me: this process.
    seconds: to wait at most.

  Returns:
    The lines to the others, by number.

  Raises:
    UserError: for processes that do not fit together, which they hear as well.
    PeerLost: naming those that did not come.
  """
  came: dict[int, tuple[Guest, socket.socket]] = {}
  end = time.monotonic() + seconds
  with contextlib.ExitStack() as opened, _door(port) as door:
    while len(came) < me.count - 1:
      if not select.select([door], [], [], max(end - time.monotonic(), 0.0))[0]:
        missing = ", ".join(str(i) for i in range(1, me.count) if i not in came)
        _tell(came, "lost", text := f"process {missing} did not come within {seconds:.0f} s")
        raise PeerLost(text)
      line = opened.enter_context(door.accept()[0])
      guest = _hear_guest(line)
      if guest is None:
        continue  # whoever that was
      mistake = _mistake(guest, me, came)
      if mistake:
        _tell({**came, -1: (guest, line)}, "mistake", mistake)
        raise UserError(mistake)
      came[guest.index] = guest, line
    _tell(came, "come", "")
    opened.pop_all()
  return {index: line for index, (_, line) in came.items()}


def come(host: str, port: int, me: Guest, *, seconds: float) -> socket.socket:
  """On all processes but 0: presents itself there, and waits until all are there.

  Args:
    host: of process 0.
    port: of the coordinator.
    me: this process.
    seconds: to wait at most, for process 0 and then for the others.

  Returns:
    The line to process 0, to be kept open as long as this process lives.

  Raises:
    UserError: for processes that do not fit together.
    PeerLost: where process 0 does not answer, or others did not come.
  """
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    with contextlib.ExitStack() as opened:
      try:
        line = opened.enter_context(socket.create_connection((host, port), timeout=_WORD))
        line.sendall(json.dumps(me).encode() + b"\n")
        line.settimeout(seconds + _WORD)
        kind, text = _hear(line)
      except (OSError, ValueError, TypeError):  # not there yet, or not ours
        time.sleep(_AGAIN)
        continue
      if kind == "mistake":
        raise UserError(text)
      if kind == "lost":
        raise PeerLost(text)
      opened.pop_all()
      return line
  raise PeerLost(f"process 0 did not answer at {host}:{port} within {seconds:.0f} s")


def _mistake(guest: Guest, me: Guest, came: dict[int, tuple[Guest, socket.socket]]) -> str:
  """What is wrong with a guest, "" if nothing is."""
  if guest.count != me.count:
    return (
      f"--num_processes: found {guest.count} on process {guest.index} ({guest.name}) and "
      f"{me.count} on process 0 ({me.name}), expected the same number everywhere"
    )
  other = me if guest.index == 0 else came.get(guest.index, (None,))[0]
  if other is not None and (guest.index == 0 or not _has_left(came[guest.index][1])):
    return (
      f"--process_id: found {guest.index} twice, on {other.name} and on {guest.name}, expected "
      f"each of 0 to {me.count - 1} once"
    )
  return ""


def _door(port: int) -> socket.socket:
  """Listens on all of this host's addresses."""
  with contextlib.suppress(OSError):
    if socket.has_dualstack_ipv6():
      return socket.create_server(
        ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
      )
  return socket.create_server(("", port), backlog=1024)


def _tell(came: dict[int, tuple[Guest, socket.socket]], kind: str, text: str) -> None:
  for _, line in came.values():
    with contextlib.suppress(OSError):
      line.sendall(json.dumps([kind, text]).encode() + b"\n")


def _hear_guest(line: socket.socket) -> Guest | None:
  """Who is there; None for somebody who is no process of ours."""
  line.settimeout(_WORD)
  try:
    index, count, name = _hear(line)
  except (OSError, ValueError, TypeError):
    return None
  return Guest(int(index), int(count), str(name))


def _hear(line: socket.socket) -> list:
  """One line of JSON."""
  said = b""
  while not said.endswith(b"\n"):
    part = line.recv(_LONGEST)
    if not part or len(said) > _LONGEST:
      raise ValueError("no word")
    said += part
  return json.loads(said)


def _has_left(line: socket.socket) -> bool:
  """Whether the other side has closed: it says nothing any more before it is told."""
  return bool(select.select([line], [], [], 0.0)[0])


def ended(lines: dict[int, socket.socket], *, seconds: float) -> list[int]:
  """Waits for processes to end; the numbers of those that did, whose lines are taken out.

  A line that breaks otherwise is taken out, too, but says nothing of its process.

  Args:
    lines: of `receive`.
    seconds: to wait at most.
  """
  if not lines:
    time.sleep(seconds)
    return []
  with selectors.DefaultSelector() as selector:
    for index, line in lines.items():
      selector.register(line, selectors.EVENT_READ, index)
    ready = [key.data for key, _ in selector.select(seconds)]
  return [index for index in ready if _is_at_end(lines.pop(index))]


def _is_at_end(line: socket.socket) -> bool:
  with line, contextlib.suppress(OSError):
    return line.recv(1) == b""
  return False

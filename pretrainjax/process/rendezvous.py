"""A handshake of all processes before JAX connects them: their ranks fit, and none is missing.

JAX ends a process with a wrong number, or one too many, by an abort after a time limit, and
believes process 0 where counts differ. So all connect to the coordinator's port before JAX does,
send their rank, and get the answer of process 0. The connections stay open: one that closes says at
once that its process has ended.

Whoever else connects is no process of the run: `process/guests.py` hears all at once, each for a
few seconds, and turns away what is no rank, or does not prove that it knows the run's secret.
"""

import contextlib
import select
import selectors
import socket
import time
from collections.abc import Iterable, Mapping

from pretrainjax.errors import UserError
from pretrainjax.process.guests import Guest, Guests, listener
from pretrainjax.process.handshake import (
  MESSAGE_SECONDS,
  REFUSED,
  Lines,
  Peer,
  greeting_of,
  hello,
  proven_answer,
)

# Seconds between tries to connect.
_RETRY_SECONDS = 0.2


class PeerLost(Exception):
  """Another process is gone, or did not come to where it was waited for."""


def accept_peers(
  port: int, me: Peer, *, seconds: float, host: str = "", secret: str = ""
) -> dict[int, socket.socket]:
  """On process 0: waits until all other processes have joined, then lets them go on together.

  Args:
    port: the port of the coordinator, which must be free.
    me: what this process says of itself.
    seconds: the longest time to wait.
    host: the address to listen at, "127.0.0.1"; "" is all addresses of this host.
    secret: what all processes of the run were given by their launcher; "" lets in whoever says a
      rank.

  Returns:
    The connections to the other processes, by rank.

  Raises:
    UserError: for ranks or counts that do not fit together, which all processes are told.
    PeerLost: naming the processes that did not join.
  """
  end = time.monotonic() + seconds
  joined: dict[int, Guest] = {}
  with contextlib.ExitStack() as opened, listener(host, port) as listening:
    guests = opened.enter_context(Guests(listening, secret))
    while len(joined) < me.count - 1:
      if time.monotonic() >= end:
        missing = ", ".join(str(i) for i in range(1, me.count) if i not in joined)
        text = f"process {missing} did not come within {seconds:.0f} s{guests.turned_away()}"
        _answer_all(joined.values(), "lost", text, secret)
        raise PeerLost(text)
      for guest in guests.next(until=end):
        opened.enter_context(guest.connection)
        mistake = _mistake(guest.peer, me, joined)
        if mistake:
          _answer_all([*joined.values(), guest], "mistake", mistake, secret)
          raise UserError(mistake)
        joined[guest.peer.index] = guest
    _answer_all(joined.values(), "joined", "", secret)
    guests.close()
    opened.pop_all()
  for guest in joined.values():
    guest.connection.settimeout(None)
  return {index: guest.connection for index, guest in joined.items()}


def join(host: str, port: int, me: Peer, *, seconds: float, secret: str = "") -> socket.socket:
  """On all processes but 0: joins at process 0, and waits until all have joined.

  Args:
    host: the host of process 0.
    port: the port of the coordinator.
    me: what this process says of itself.
    seconds: the longest time to wait, for process 0 and then for the others.
    secret: the secret of the run, see `accept_peers`.

  Returns:
    The connection to process 0, to be kept open as long as this process lives.

  Raises:
    UserError: for ranks or counts that do not fit together, and a secret that process 0 has not.
    PeerLost: where process 0 does not answer, or others did not join.
  """
  end, reason = time.monotonic() + seconds, "did not answer"
  while time.monotonic() < end:
    with contextlib.ExitStack() as opened:
      try:
        connection = opened.enter_context(
          socket.create_connection((host, port), timeout=MESSAGE_SECONDS)
        )
        greeted_by = min(time.monotonic() + MESSAGE_SECONDS, end)
        kind, text = _present(connection, me, secret, greeted_by=greeted_by, seconds=seconds)
      except (OSError, ValueError, TypeError):  # not there yet, or not ours
        time.sleep(_RETRY_SECONDS)
        continue
      if kind == REFUSED:  # perhaps the run before is about to end there
        reason = f"turned this process away ({text})"
        time.sleep(_RETRY_SECONDS)
        continue
      if kind == "mistake":
        raise UserError(text)
      if kind == "lost":
        raise PeerLost(text)
      connection.settimeout(None)
      opened.pop_all()
      return connection
  raise PeerLost(f"process 0 {reason} at {host}:{port} within {seconds:.0f} s")


def _present(
  connection: socket.socket, me: Peer, secret: str, *, greeted_by: float, seconds: float
) -> tuple[str, str]:
  """Says who this process is; returns the kind and the text of process 0's answer."""
  lines = Lines(connection)
  nonce, has_secret = greeting_of(lines.next(greeted_by))
  if has_secret != bool(secret):
    found = "here, but not on process 0" if secret else "on process 0, but not here"
    raise UserError(f"$PRETRAINJAX_SECRET: found it {found}, expected the same on all processes")
  mine, message = hello(me, nonce, secret)
  connection.sendall(message)
  return proven_answer(lines.next(time.monotonic() + seconds + MESSAGE_SECONDS), mine, secret)


def _mistake(peer: Peer, me: Peer, joined: Mapping[int, Guest]) -> str:
  """What is wrong with the rank or count of a process that joins, "" if nothing is."""
  if peer.count != me.count:
    return (
      f"--num_processes: found {peer.count} on process {peer.index} ({peer.name}) and "
      f"{me.count} on process 0 ({me.name}), expected the same number everywhere"
    )
  there = joined.get(peer.index)
  other = me if peer.index == 0 else None if there is None else there.peer
  if other is not None and (there is None or not _has_closed(there.connection)):
    return (
      f"--process_id: found {peer.index} twice, on {other.name} and on {peer.name}, expected "
      f"each of 0 to {me.count - 1} once"
    )
  return ""


def _answer_all(guests: Iterable[Guest], kind: str, text: str, secret: str) -> None:
  for guest in guests:
    guest.answer(kind, text, secret)


def _has_closed(connection: socket.socket) -> bool:
  """Whether the other side has closed the connection, on which it sends nothing at this point."""
  return bool(select.select([connection], [], [], 0.0)[0])


def ended_processes(connections: dict[int, socket.socket], *, seconds: float) -> list[int]:
  """Waits for processes to end; returns their ranks and takes their connections out.

  A connection that breaks otherwise is taken out, too, but says nothing of its process.

  Args:
    connections: the open connections by rank, as of `accept_peers`.
    seconds: the longest time to wait.
  """
  if not connections:
    time.sleep(seconds)
    return []
  with selectors.DefaultSelector() as selector:
    for index, connection in connections.items():
      selector.register(connection, selectors.EVENT_READ, index)
    ready = [key.data for key, _ in selector.select(seconds)]
  return [index for index in ready if _is_closed(connections.pop(index))]


def _is_closed(connection: socket.socket) -> bool:
  with connection, contextlib.suppress(OSError):
    return connection.recv(1) == b""
  return False

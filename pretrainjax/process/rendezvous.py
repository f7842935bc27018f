"""A handshake of all processes before JAX connects them: their ranks fit, and none is missing.

JAX ends a process with a wrong number, or one too many, by an abort after a time limit, and
believes process 0 where counts differ. So all connect to the coordinator's port before JAX does,
send their rank, and get the answer of process 0. The connections stay open: one that closes says at
once that its process has ended.
"""

import contextlib
import json
import select
import selectors
import socket
import time
from typing import NamedTuple

from pretrainjax.errors import UserError

# The longest message in bytes; seconds between tries to connect, and for one message.
_MAX_BYTES, _RETRY_SECONDS, _MESSAGE_SECONDS = 4096, 0.2, 5.0


class PeerLost(Exception):
  """Another process is gone, or did not come to where it was waited for."""


class Peer(NamedTuple):
  """The message in which a process describes itself when it joins.

  Attributes:
    index: its rank, from 0.
    count: the number of processes of the run, as it was told.
    name: its host and process id, for messages.
  """

  index: int
  count: int
  name: str


def accept_peers(port: int, me: Peer, *, seconds: float) -> dict[int, socket.socket]:
  """On process 0: waits until all other processes have joined, then lets them go on together.

  Args:
    port: the port of the coordinator, which must be free.
    me: what this process says of itself.
    seconds: the longest time to wait.

  Returns:
    The connections to the other processes, by rank.

  Raises:
    UserError: for ranks or counts that do not fit together, which all processes are told.
    PeerLost: naming the processes that did not join.
  """
  joined: dict[int, tuple[Peer, socket.socket]] = {}
  end = time.monotonic() + seconds
  with contextlib.ExitStack() as opened, _listener(port) as listener:
    while len(joined) < me.count - 1:
      if not select.select([listener], [], [], max(end - time.monotonic(), 0.0))[0]:
        missing = ", ".join(str(i) for i in range(1, me.count) if i not in joined)
        _send_all(joined, "lost", text := f"process {missing} did not come within {seconds:.0f} s")
        raise PeerLost(text)
      connection = opened.enter_context(listener.accept()[0])
      peer = _read_peer(connection)
      if peer is None:
        continue  # it was no process of this run
      mistake = _mistake(peer, me, joined)
      if mistake:
        _send_all({**joined, -1: (peer, connection)}, "mistake", mistake)
        raise UserError(mistake)
      joined[peer.index] = peer, connection
    _send_all(joined, "joined", "")
    opened.pop_all()
  return {index: connection for index, (_, connection) in joined.items()}


def join(host: str, port: int, me: Peer, *, seconds: float) -> socket.socket:
  """On all processes but 0: joins at process 0, and waits until all have joined.

  Args:
    host: the host of process 0.
    port: the port of the coordinator.
    me: what this process says of itself.
    seconds: the longest time to wait, for process 0 and then for the others.

  Returns:
    The connection to process 0, to be kept open as long as this process lives.

  Raises:
    UserError: for ranks or counts that do not fit together.
    PeerLost: where process 0 does not answer, or others did not join.
  """
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    with contextlib.ExitStack() as opened:
      try:
        connection = opened.enter_context(
          socket.create_connection((host, port), timeout=_MESSAGE_SECONDS)
        )
        connection.sendall(json.dumps(me).encode() + b"\n")
        connection.settimeout(seconds + _MESSAGE_SECONDS)
        kind, text = _read_message(connection)
      except (OSError, ValueError, TypeError):  # not there yet, or not ours
        time.sleep(_RETRY_SECONDS)
        continue
      if kind == "mistake":
        raise UserError(text)
      if kind == "lost":
        raise PeerLost(text)
      opened.pop_all()
      return connection
  raise PeerLost(f"process 0 did not answer at {host}:{port} within {seconds:.0f} s")


def _mistake(peer: Peer, me: Peer, joined: dict[int, tuple[Peer, socket.socket]]) -> str:
  """What is wrong with the rank or count of a process that joins, "" if nothing is."""
  if peer.count != me.count:
    return (
      f"--num_processes: found {peer.count} on process {peer.index} ({peer.name}) and "
      f"{me.count} on process 0 ({me.name}), expected the same number everywhere"
    )
  other = me if peer.index == 0 else joined.get(peer.index, (None,))[0]
  if other is not None and (peer.index == 0 or not _has_closed(joined[peer.index][1])):
    return (
      f"--process_id: found {peer.index} twice, on {other.name} and on {peer.name}, expected "
      f"each of 0 to {me.count - 1} once"
    )
  return ""


def _listener(port: int) -> socket.socket:
  """A socket that listens on all addresses of this host."""
  with contextlib.suppress(OSError):
    if socket.has_dualstack_ipv6():
      return socket.create_server(
        ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
      )
  return socket.create_server(("", port), backlog=1024)


def _send_all(joined: dict[int, tuple[Peer, socket.socket]], kind: str, text: str) -> None:
  for _, connection in joined.values():
    with contextlib.suppress(OSError):
      connection.sendall(json.dumps([kind, text]).encode() + b"\n")


def _read_peer(connection: socket.socket) -> Peer | None:
  """Reads what a process says of itself; None for anything else that connects."""
  connection.settimeout(_MESSAGE_SECONDS)
  try:
    index, count, name = _read_message(connection)
  except (OSError, ValueError, TypeError):
    return None
  return Peer(int(index), int(count), str(name))


def _read_message(connection: socket.socket) -> list:
  """Reads one line of JSON."""
  received = b""
  while not received.endswith(b"\n"):
    part = connection.recv(_MAX_BYTES)
    if not part or len(received) > _MAX_BYTES:
      raise ValueError("no word")
    received += part
  return json.loads(received)


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

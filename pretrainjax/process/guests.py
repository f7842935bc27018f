"""Those who connect to process 0: all are heard side by side, each has one time limit in all."""

import contextlib
import selectors
import socket
import time
from types import TracebackType
from typing import NamedTuple

from pretrainjax.process.handshake import (
  MAX_BYTES,
  MESSAGE_SECONDS,
  REFUSED,
  Peer,
  answer,
  greeting,
  new_nonce,
  peer_of,
)

# The most connections that have not said who they are; of more the longest one there goes.
_MOST = 512


class Guest(NamedTuple):
  """A process of the run that has connected.

  Attributes:
    peer: what it says of itself.
    connection: the connection to it, on which sending has a time limit.
    nonce: its nonce, which an answer is proven by; "" without a secret.
  """

  peer: Peer
  connection: socket.socket
  nonce: str

  def answer(self, kind: str, text: str, secret: str) -> None:
    """Sends an answer, if the other side still listens."""
    with contextlib.suppress(OSError):
      self.connection.sendall(answer(kind, text, self.nonce, secret))


class _Unknown:
  """A connection that has not said yet who it is."""

  def __init__(self, connection: socket.socket, address: str):
    self.connection, self.address = connection, address
    self.nonce, self.received = new_nonce(), b""
    self.end = time.monotonic() + MESSAGE_SECONDS


class Guests:
  """Takes in whoever connects to a port, and hands on those who are processes of the run."""

  def __init__(self, listening: socket.socket, secret: str):
    """Begins to listen.

    Args:
      listening: the socket that is connected to.
      secret: the secret of the run, "" without one.
    """
    listening.setblocking(False)
    self._listening, self._secret = listening, secret
    self._unknown: dict[socket.socket, _Unknown] = {}
    self._found: list[Guest] = []
    self._strangers, self._last = 0, ""
    self._selector = selectors.DefaultSelector()
    self._selector.register(listening, selectors.EVENT_READ)

  def next(self, *, until: float) -> list[Guest]:
    """Waits until something happens; returns the processes that have said their rank since.

    Args:
      until: when to come back at the latest, by the monotonic clock.
    """
    end = min([until, *(unknown.end for unknown in self._unknown.values())])
    for key, _ in self._selector.select(max(end - time.monotonic(), 0.0)):
      if key.fileobj is self._listening:
        self._take_in()
      elif key.fileobj in self._unknown:  # or it went to make room
        self._hear(self._unknown[key.fileobj])
    now = time.monotonic()
    for unknown in [unknown for unknown in self._unknown.values() if unknown.end <= now]:
      self._turn_away(unknown)
    found, self._found = self._found, []
    return found

  def turned_away(self) -> str:
    """Words on those who were no processes of the run, "" where there was none."""
    if not self._strangers:
      return ""
    proof = " without this run's $PRETRAINJAX_SECRET" if self._secret else ""
    return f"; {self._strangers} others{proof} were turned away, the last from {self._last}"

  def close(self) -> None:
    """Closes the connections to those who have not said who they are."""
    for unknown in list(self._unknown.values()):
      self._forget(unknown).close()
    self._selector.close()

  def __enter__(self) -> "Guests":
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
  ) -> None:
    self.close()

  def _take_in(self) -> None:
    try:
      connection, address = self._listening.accept()
    except OSError:  # it is gone already; or there are no handles left, and the oldest one's goes
      if self._unknown:
        self._turn_away(next(iter(self._unknown.values())))
      return
    if len(self._unknown) >= _MOST:
      self._turn_away(next(iter(self._unknown.values())))
    connection.setblocking(False)
    unknown = _Unknown(connection, str(address[0]))
    self._unknown[connection] = unknown
    self._selector.register(connection, selectors.EVENT_READ)
    with contextlib.suppress(OSError):  # of one that is gone: its end is read next
      connection.send(greeting(unknown.nonce, self._secret))

  def _hear(self, unknown: _Unknown) -> None:
    """Reads what a connection says, as far as it has come."""
    try:
      part = unknown.connection.recv(MAX_BYTES)
    except BlockingIOError:
      return
    except OSError:
      part = b""
    unknown.received += part
    line, ended, rest = unknown.received.partition(b"\n")
    if not ended and part and len(unknown.received) <= MAX_BYTES:
      return
    try:
      if not ended or rest or len(line) > MAX_BYTES:
        raise ValueError("no line")
      peer, nonce = peer_of(line, unknown.nonce, self._secret)
    except ValueError:
      self._turn_away(unknown)
      return
    connection = self._forget(unknown)
    connection.settimeout(MESSAGE_SECONDS)
    self._found.append(Guest(peer, connection, nonce))

  def _turn_away(self, unknown: _Unknown) -> None:
    self._strangers, self._last = self._strangers + 1, unknown.address
    with self._forget(unknown) as connection, contextlib.suppress(OSError):
      connection.send(answer(REFUSED, "it has another secret", "", ""))

  def _forget(self, unknown: _Unknown) -> socket.socket:
    del self._unknown[unknown.connection]
    self._selector.unregister(unknown.connection)
    return unknown.connection


def listener(host: str, port: int) -> socket.socket:
  """A socket that listens at a port.

  Args:
    host: the address of this host to listen at; "" is all of them.
    port: the port to listen at.
  """
  if not host:
    with contextlib.suppress(OSError):
      if socket.has_dualstack_ipv6():
        return socket.create_server(
          ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
        )
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  return socket.create_server((host, port), family=family, backlog=1024)

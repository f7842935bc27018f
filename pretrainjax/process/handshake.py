"""The messages by which a process joins a run, each a line of JSON, and the proofs in them.

Process 0 greets whoever connects with a nonce; the other one says its rank, with an HMAC of both
under the secret of the run where there is one, and gets an answer that is proven likewise. The
secret is never sent, and no message is good for a second connection.
"""

import hmac
import json
import secrets
import socket
import time
from typing import Any, NamedTuple

from pretrainjax.untrusted import parse_json

# The longest message in bytes, and the longest name in it; seconds for one message.
MAX_BYTES, _LONGEST_NAME, MESSAGE_SECONDS = 4096, 500, 5.0
# The kind of an answer to a process that does not prove to know the secret.
REFUSED = "refused"
_GREETING = "pretrainjax"
_NONCE_BYTES = 16


class Peer(NamedTuple):
  """What a process says of itself when it joins.

  Attributes:
    index: its rank, from 0.
    count: the number of processes of the run, as it was told.
    name: its host and process id, for messages.
  """

  index: int
  count: int
  name: str


def new_nonce() -> str:
  """A random text that is used once."""
  return secrets.token_hex(_NONCE_BYTES)


def greeting(nonce: str, secret: str) -> bytes:
  """The message of process 0 to whoever connects: a nonce, and whether there is a secret."""
  return _line([_GREETING, nonce, bool(secret)])


def greeting_of(line: bytes) -> tuple[str, bool]:
  """The nonce of a greeting, and whether process 0 has a secret; ValueError for anything else."""
  word, nonce, has_secret = _list(line, 3)
  if word != _GREETING or not isinstance(nonce, str) or not isinstance(has_secret, bool):
    raise ValueError("no greeting")
  return nonce, has_secret


def hello(me: Peer, nonce: str, secret: str) -> tuple[str, bytes]:
  """The message of a process that joins, and a nonce of its own, "" without a secret."""
  if not secret:
    return "", _line(list(me))
  mine = new_nonce()
  return mine, _line([*me, mine, _proof(secret, "hello", nonce, mine, *me)])


def peer_of(line: bytes, nonce: str, secret: str) -> tuple[Peer, str]:
  """Who sent a `hello`, and its nonce.

  Args:
    line: the message, of anybody.
    nonce: the nonce of the greeting that it answers.
    secret: the secret of the run.

  Raises:
    ValueError: for what is no process of this run: no such message, a rank that none can have, or
      no proof.
  """
  index, count, name, *rest = _list(line, 5 if secret else 3)
  if type(index) is not int or type(count) is not int or not 0 <= index < count:
    raise ValueError("no rank")
  if not isinstance(name, str) or len(name) > _LONGEST_NAME or not name.isprintable():
    raise ValueError("no name")
  peer = Peer(index, count, name)
  if not secret:
    return peer, ""
  theirs, proof = rest
  if not isinstance(theirs, str) or not isinstance(proof, str):
    raise ValueError("no proof")
  if not _equal(proof, _proof(secret, "hello", nonce, theirs, *peer)):
    raise ValueError("another secret")
  return peer, theirs


def answer(kind: str, text: str, nonce: str, secret: str) -> bytes:
  """The answer of process 0: "joined", "mistake" or "lost", and a text for the user."""
  proof = [_proof(secret, "answer", nonce, kind, text)] if secret and nonce else []
  return _line([kind, text, *proof])


def proven_answer(line: bytes, nonce: str, secret: str) -> tuple[str, str]:
  """The kind and text of an answer to the `hello` with this nonce; ValueError without a proof."""
  kind, text, *rest = _list(line)
  if not isinstance(kind, str) or not isinstance(text, str):
    raise ValueError("no answer")
  proven = rest and isinstance(rest[0], str)
  if secret and kind != REFUSED:
    if not proven or not _equal(rest[0], _proof(secret, "answer", nonce, kind, text)):
      raise ValueError("no proof")
  return kind, text


class Lines:
  """Reads lines from a connection, each until a time is over."""

  def __init__(self, connection: socket.socket):
    self._connection, self._received = connection, b""

  def next(self, until: float) -> bytes:
    """The next line.

    Args:
      until: when to give up, by the monotonic clock.

    Raises:
      OSError: where none came in time.
      ValueError: where the other side closed, or the line is too long.
    """
    while b"\n" not in self._received:
      self._connection.settimeout(max(until - time.monotonic(), 0.001))
      part = self._connection.recv(MAX_BYTES)
      self._received += part
      if not part or len(self._received) > 2 * MAX_BYTES:
        raise ValueError("no line")
    line, _, self._received = self._received.partition(b"\n")
    return line


def _list(line: bytes, length: int | None = None) -> list[Any]:
  found = parse_json(line)
  if not isinstance(found, list) or len(found) < 2 or length not in (None, len(found)):
    raise ValueError("no message")
  return found


def _line(values: list[Any]) -> bytes:
  return json.dumps(values).encode() + b"\n"


def _proof(secret: str, *values: Any) -> str:
  return hmac.new(secret.encode(), json.dumps(values).encode(), "sha256").hexdigest()


def _equal(one: str, other: str) -> bool:
  return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())

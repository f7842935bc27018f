"""Messages are whole and proven, or they are no messages."""

import json
import socket
import time

import pytest
from hypothesis import strategies as st
from rounds import both, bytes_or_edited, fuzz

from pretrainjax.process.handshake import (
  REFUSED,
  Lines,
  Peer,
  answer,
  greeting,
  greeting_of,
  hello,
  new_nonce,
  peer_of,
  proven_answer,
)

ME = Peer(1, 2, "node1, pid 7")


@pytest.mark.parametrize("secret", ["", "s"])
def test_what_is_said_is_heard(secret):
  nonce, has_secret = greeting_of(greeting("n", secret))
  assert (nonce, has_secret) == ("n", bool(secret))
  mine, message = hello(ME, nonce, secret)
  peer, theirs = peer_of(message, nonce, secret)
  assert (peer, theirs) == (ME, mine) and bool(mine) == bool(secret)
  told = answer("joined", "text", theirs, secret)
  assert proven_answer(told, mine, secret) == ("joined", "text")


def test_a_message_proves_itself_for_one_connection_and_one_secret_only():
  mine, message = hello(ME, "n", "s")
  for nonce, secret in (("other", "s"), ("n", "t")):
    with pytest.raises(ValueError, match="another secret"):
      peer_of(message, nonce, secret)
  values = json.loads(message)
  for place, value in ((0, 0), (2, "node2"), (3, "00"), (4, "00"), (4, "\u00e9"), (4, None)):
    changed = [*values[:place], value, *values[place + 1 :]]
    with pytest.raises(ValueError):
      peer_of(json.dumps(changed).encode(), "n", "s")
  told = answer("joined", "", mine, "s")
  for nonce, secret in (("other", "s"), (mine, "t")):
    with pytest.raises(ValueError, match="no proof"):
      proven_answer(told, nonce, secret)
  with pytest.raises(ValueError, match="no proof"):
    proven_answer(b'["lost", "x"]', mine, "s")
  assert proven_answer(b'["refused", "x"]', mine, "s") == (REFUSED, "x")  # which ends nothing
  assert "s" not in {*values, *json.loads(told)} and new_nonce() != new_nonce()


@both(3000)
def test_whatever_else_is_said_is_no_message(cases):
  _, proven = hello(ME, "n", "s")
  wholes = (greeting("n", ""), hello(ME, "n", "")[1], proven, answer("lost", "x", "n", "s"))

  def check(data, secret):
    for read in (
      lambda: greeting_of(data),
      lambda: peer_of(data, "n", secret),
      lambda: proven_answer(data, "n", secret),
    ):
      try:
        read()
      except ValueError as error:
        assert len(str(error)) < 200

  fuzz(check, bytes_or_edited(*wholes), st.sampled_from(["", "s"]), cases=cases)


def test_lines_come_whole_in_time_or_not_at_all():
  one, other = socket.socketpair()
  with one, other:
    lines = Lines(other)
    one.sendall(b"ab\ncd")
    assert lines.next(time.monotonic() + 5) == b"ab"
    start = time.monotonic()
    with pytest.raises(OSError):
      lines.next(time.monotonic() + 0.1)
    assert time.monotonic() - start < 1
    one.sendall(b"\n" + b"x" * 9000)
    assert lines.next(time.monotonic() + 5) == b"cd"
    with pytest.raises(ValueError, match="no line"):
      lines.next(time.monotonic() + 5)
    one.close()
    with pytest.raises(ValueError, match="no line"):
      Lines(other).next(time.monotonic() + 5)

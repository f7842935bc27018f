"""Those who connect are heard side by side, and each for a few seconds at most."""

import socket
import time

import pytest

from pretrainjax.process import guests as module
from pretrainjax.process.guests import Guests, listener
from pretrainjax.process.handshake import Peer, greeting_of, hello


@pytest.fixture
def listening():
  with listener("127.0.0.1", 0) as server:
    yield server


def connect(listening) -> socket.socket:
  return socket.create_connection(listening.getsockname(), timeout=5.0)


def heard(guests: Guests, *, seconds: float) -> list:
  """All who were found within a time."""
  found, end = [], time.monotonic() + seconds
  while time.monotonic() < end:
    found += guests.next(until=end)
  return found


def test_a_line_may_come_in_pieces_and_many_at_once(listening):
  with Guests(listening, "") as guests:
    connections = [connect(listening) for _ in range(12)]
    for index, connection in enumerate(connections):
      connection.sendall(f"[{index}, 12, ".encode())
    assert heard(guests, seconds=0.2) == []
    for connection in connections:
      connection.sendall(b'"x"]\n')
    found = heard(guests, seconds=0.5)
  assert sorted(guest.peer.index for guest in found) == list(range(12))
  for connection in (*connections, *(guest.connection for guest in found)):
    connection.close()


def test_a_slow_one_has_one_time_limit_however_often_it_speaks(listening, monkeypatch):
  monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.4)
  start = time.monotonic()
  with Guests(listening, "") as guests, connect(listening) as slow:
    while not guests.turned_away() and time.monotonic() - start < 5:
      try:
        slow.sendall(b" ")
      except OSError:
        break
      guests.next(until=time.monotonic() + 0.05)
      time.sleep(0.01)  # or it would have said too much before it is too late
    assert 0.3 < time.monotonic() - start < 1.5
    assert guests.turned_away() == "; 1 others were turned away, the last from 127.0.0.1"


def test_it_comes_back_in_time_though_nothing_happens(listening):
  with Guests(listening, "") as guests, connect(listening):
    start = time.monotonic()
    guests.next(until=start + 0.2)
    guests.next(until=start + 0.2)
    assert time.monotonic() - start < 1


def test_of_too_many_the_oldest_one_goes(listening, monkeypatch):
  monkeypatch.setattr(module, "_MOST", 3)
  with Guests(listening, "") as guests:
    connections = [connect(listening) for _ in range(5)]
    heard(guests, seconds=0.3)
    assert guests.turned_away().startswith("; 2 others")
    connections[-1].sendall(b'[1, 2, "x"]\n')
    (found,) = heard(guests, seconds=0.3)
  for connection in (*connections, found.connection):
    connection.close()


def test_with_a_secret_a_guest_has_to_prove_it(listening):
  with Guests(listening, "s") as guests:
    right, wrong, none = (connect(listening) for _ in range(3))
    guests.next(until=time.monotonic() + 1)
    heard(guests, seconds=0.1)
    for connection, secret in ((right, "s"), (wrong, "t"), (none, "")):
      nonce, has_secret = greeting_of(connection.recv(4096))
      assert has_secret
      connection.sendall(hello(Peer(1, 2, "x"), nonce, secret)[1])
    (found,) = heard(guests, seconds=0.3)
    assert "2 others without this run's $PRETRAINJAX_SECRET" in guests.turned_away()
    found.answer("joined", "", "s")
    assert b"joined" in right.recv(4096)
  for connection in (right, wrong, none, found.connection):
    connection.close()


@pytest.mark.parametrize(("host", "address"), [("", "127.0.0.2"), ("127.0.0.1", "127.0.0.1")])
def test_it_listens_at_one_address_or_at_all(host, address):
  with listener(host, 0) as server:
    socket.create_connection((address, server.getsockname()[1]), timeout=5.0).close()

"""Processes that do not fit together are told so before JAX starts; lines end with processes."""

import contextlib
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pretrainjax.errors import UserError
from pretrainjax.process.rendezvous import Peer, PeerLost, accept_peers, ended_processes, join


@pytest.fixture
def port():
  with socket.socket() as probe:
    probe.bind(("", 0))
    return probe.getsockname()[1]


def rendezvous(port, *peers: Peer, host: Peer, seconds: float = 5.0) -> list[Future]:
  """What `accept_peers` gave, and what `join` gave to each guest."""
  with ThreadPoolExecutor(len(peers) + 1) as pool:
    first = pool.submit(accept_peers, port, host, seconds=seconds)
    others = [pool.submit(join, "localhost", port, peer, seconds=seconds) for peer in peers]
  return [first, *others]


def close(*futures: Future) -> None:
  for future in futures:
    if future.exception() is None:
      connections = future.result()
      for connection in connections.values() if isinstance(connections, dict) else [connections]:
        connection.close()


def test_all_who_should_be_there_go_on(port):
  peers = [Peer(i, 4, f"node{i}") for i in (1, 2, 3)]
  first, *others = rendezvous(port, *peers, host=Peer(0, 4, "node0"))
  assert set(first.result()) == {1, 2, 3}
  assert all(isinstance(other.result(), socket.socket) for other in others)
  with socket.socket() as again:  # as JAX's service does, while the lines stay
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(("", port))
    again.listen()
  close(first, *others)


@pytest.mark.parametrize(
  ("peers", "said"),
  [
    ([Peer(1, 3, "b"), Peer(1, 3, "b")], "--process_id: found 1 twice, on b and on b"),
    ([Peer(0, 2, "b")], "--process_id: found 0 twice, on a and on b"),
    ([Peer(1, 5, "b")], "--num_processes: found 5 on process 1 (b) and"),
  ],
)
def test_those_who_do_not_fit_are_named_to_all(peers, said, port):
  count = 3 if len(peers) == 2 else 2
  start = time.monotonic()
  for future in rendezvous(port, *peers, host=Peer(0, count, "a"), seconds=30.0):
    with pytest.raises(UserError) as refusal:
      future.result()
    assert str(refusal.value).startswith(said)
  assert time.monotonic() - start < 5


def test_those_who_do_not_come_are_named(port):
  first, other = rendezvous(port, Peer(2, 4, "c"), host=Peer(0, 4, "a"), seconds=0.5)
  for future in (first, other):
    with pytest.raises(PeerLost, match="process 1, 3 did not come within 0 s"):
      future.result()
  with pytest.raises(PeerLost, match=f"process 0 did not answer at localhost:{port} within 0 s"):
    join("localhost", port, Peer(1, 2, "b"), seconds=0.3)


def test_whoever_was_started_again_meanwhile_is_welcome(port):
  """Its number is there twice, but the first one has gone."""
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 3, "a"), seconds=10.0)
    gone = None
    while gone is None:
      try:
        gone = socket.create_connection(("localhost", port))
      except ConnectionRefusedError:
        time.sleep(0.01)
    gone.sendall(b'[1, 3, "b"]\n')
    gone.close()
    others = [pool.submit(join, "localhost", port, Peer(i, 3, "b"), seconds=10.0) for i in (1, 2)]
  assert set(first.result()) == {1, 2}
  close(first, *others)


# Bytes that no process of a run says, and that ended or held process 0.
STRANGERS = {
  "a browser": b"GET / HTTP/1.1\r\n\r\n",
  "a list that is too short": b"[1]\n",
  "a long line": b"x" * 10_000,
  "nothing": b"",
  "words": b'["x", "y", "z"]\n',
  "infinity": b'[1e999, 2, "x"]\n',
  "brackets": b"[" * 4090 + b"\n",
  "a negative rank": b'[-5, 2, "x"]\n',
  "a rank beyond the count": b'[77, 2, "x"]\n',
  "a rank that is a truth value": b'[true, 2, "x"]\n',
  "a rank that is no whole number": b'[1.0, 2, "x"]\n',
  "a huge number": b"[" + b"9" * 4000 + b', 2, "x"]\n',
  "no name": b"[1, 2, null]\n",
  "a name that moves the cursor": b'[1, 2, "\\u001b[2J"]\n',
  "half of a pair": b'[1, 2, "\\ud800"]\n',
  "a long name": b'[1, 2, "' + b"x" * 3000 + b'"]\n',
  "no UTF-8": b'[1, 2, "\xff"]\n',
  "more than a line": b'[1, 2, "x"]\n[1, 2, "x"]\n',
  "a dict": b'{"index": 1}\n',
}


def connected(port: int) -> socket.socket:
  """A connection to whoever begins to listen."""
  while True:
    try:
      return socket.create_connection(("localhost", port))
    except ConnectionRefusedError:
      time.sleep(0.01)


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS)
def test_strangers_are_not_heard(said, port):
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=10.0)
    stranger = connected(port)
    start = time.monotonic()
    with contextlib.suppress(OSError):
      stranger.sendall(said)
    if not said:
      stranger.close()
    other = pool.submit(join, "localhost", port, Peer(1, 2, "b"), seconds=10.0)
  assert set(first.result()) == {1} and time.monotonic() - start < 3
  stranger.close()
  close(first, other)


def test_strangers_do_not_hold_up_those_who_come(port):
  """Twelve at once that say nothing, and one that says a letter now and then."""
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=10.0)
    strangers = [connected(port) for _ in range(13)]
    strangers[-1].sendall(b"[1,")
    start = time.monotonic()
    other = pool.submit(join, "localhost", port, Peer(1, 2, "b"), seconds=10.0)
    assert set(first.result()) == {1}
  assert time.monotonic() - start < 2
  for stranger in strangers:
    stranger.close()
  close(first, other)


def test_strangers_do_not_prolong_the_time_limit(port):
  start = time.monotonic()
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=1.0)
    strangers = [connected(port) for _ in range(12)]
    with pytest.raises(PeerLost, match="process 1 did not come within 1 s"):
      first.result()
  assert time.monotonic() - start < 2
  for stranger in strangers:
    stranger.close()


def test_those_with_the_secret_go_on_and_no_others(port):
  with ThreadPoolExecutor() as pool:
    host = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=10.0, secret="s1")
    with contextlib.closing(connected(port)) as stranger:
      stranger.sendall(b'[1, 2, "x"]\n')
      assert b"refused" in stranger.recv(4096) + stranger.recv(4096)
    with pytest.raises(PeerLost, match="turned this process away .it has another secret"):
      join("localhost", port, Peer(1, 2, "b"), seconds=0.5, secret="s2")
    with pytest.raises(UserError, match=r"PRETRAINJAX_SECRET: found it on process 0, but not here"):
      join("localhost", port, Peer(1, 2, "b"), seconds=5.0)
    assert not host.done()
    other = pool.submit(join, "localhost", port, Peer(1, 2, "b"), seconds=5.0, secret="s1")
  assert set(host.result()) == {1}
  close(host, other)


def test_a_secret_on_one_side_only_is_told_on_both(port):
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=1.0)
    connected(port).close()
    with pytest.raises(UserError, match=r"PRETRAINJAX_SECRET: found it here, but not on process 0"):
      join("localhost", port, Peer(1, 2, "b"), seconds=5.0, secret="s1")
    with pytest.raises(PeerLost, match=r"within 1 s; 2 others were turned away, the last from "):
      first.result()


def test_an_answer_without_a_proof_is_not_believed(port):
  """Whoever listens at the port in place of process 0 cannot end the others by a word."""

  def impostor():
    with socket.create_server(("localhost", port)) as server:
      connection, _ = server.accept()
      with connection:
        connection.sendall(b'["pretrainjax", "00", true]\n["mistake", "go away"]\n')
        connection.recv(4096)

  with ThreadPoolExecutor() as pool:
    done = pool.submit(impostor)
    with pytest.raises(PeerLost, match="process 0 did not answer"):
      join("localhost", port, Peer(1, 2, "b"), seconds=1.0, secret="s1")
    done.result()


def test_loopback_is_all_that_is_listened_at_where_it_is_asked_for(port):
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=10.0, host="127.0.0.1")
    connected(port).close()
    with pytest.raises(OSError):  # another address of this machine
      socket.create_connection(("127.0.0.2", port), timeout=1.0)
    other = pool.submit(join, "127.0.0.1", port, Peer(1, 2, "b"), seconds=10.0)
  close(first, other)


def test_a_line_ends_with_its_process(port):
  first, one, two = rendezvous(port, Peer(1, 3, "b"), Peer(2, 3, "c"), host=Peer(0, 3, "a"))
  connections = first.result()
  assert ended_processes(connections, seconds=0.05) == [] and set(connections) == {1, 2}
  threading.Timer(0.1, two.result().close).start()
  start = time.monotonic()
  assert ended_processes(connections, seconds=5.0) == [2] and set(connections) == {1}
  assert time.monotonic() - start < 3
  # What is between may reset a line: that says nothing of the process.
  one.result().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
  one.result().close()
  assert ended_processes(connections, seconds=5.0) == [] and connections == {}
  assert ended_processes(connections, seconds=0.01) == []

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


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b"x" * 10_000, b""])
def test_strangers_are_not_heard(said, port):
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=10.0)
    while True:
      try:
        stranger = socket.create_connection(("localhost", port))
        break
      except ConnectionRefusedError:
        time.sleep(0.01)
    start = time.monotonic()
    with contextlib.suppress(OSError):
      stranger.sendall(said)
    if not said:
      stranger.close()  # one that says nothing and stays is heard for five seconds
    other = pool.submit(join, "localhost", port, Peer(1, 2, "b"), seconds=10.0)
  assert set(first.result()) == {1} and time.monotonic() - start < 3
  stranger.close()
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

"""Strangers at the coordinator's port: garbage, ranks that none can have, silent and slow ones.

They are not heard, and hold nobody up; with the secret of a launcher nobody else can join.
"""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import binaries
import pytest

from pretrainjax.process.rendezvous import Peer, PeerLost, accept_peers, join

SAID = {
  "words": b'["x","y","z"]\n',
  "infinity": b'[1e999,2,"x"]\n',
  "brackets": b"[" * 4090 + b"\n",
  "a negative rank": b'[-5, 2, "x"]\n',
  "a rank beyond the count": b'[77, 2, "x"]\n',
  "silence": b"",
  "half of a line": b"[1,",
}


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    return probe.getsockname()[1]


def connected(port: int, *, within: float = 120.0) -> socket.socket:
  """A connection to whoever begins to listen."""
  end = time.monotonic() + within
  while True:
    try:
      return socket.create_connection(("localhost", port))
    except ConnectionRefusedError:
      assert time.monotonic() < end
      time.sleep(0.01)


@pytest.mark.parametrize("said", SAID)
def test_twelve_at_once(said, trial):
  port = free_port()
  with ThreadPoolExecutor() as pool, contextlib.ExitStack() as opened:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=20.0)
    for _ in range(12):
      stranger = opened.enter_context(connected(port))
      with contextlib.suppress(OSError):
        stranger.sendall(SAID[said])
    start = time.monotonic()
    other = pool.submit(join, "localhost", port, Peer(1, 2, "b"), seconds=20.0)
    (connection,) = first.result().values()
    other.result().close()
    connection.close()
  seconds = time.monotonic() - start
  assert seconds < 4  # and not five for each
  trial(seconds=seconds)


def test_the_time_limit_is_kept(trial):
  port, start = free_port(), time.monotonic()
  with ThreadPoolExecutor() as pool, contextlib.ExitStack() as opened:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=2.0)
    for said in SAID.values():
      with contextlib.suppress(OSError):
        opened.enter_context(connected(port)).sendall(said)
    with pytest.raises(PeerLost, match="process 1 did not come within 2 s"):
      first.result()
  seconds = time.monotonic() - start
  assert seconds < 5
  trial(seconds=seconds)


def test_a_rank_of_somebody_without_the_secret(trial):
  port, start = free_port(), time.monotonic()
  with ThreadPoolExecutor() as pool:
    first = pool.submit(accept_peers, port, Peer(0, 2, "a"), seconds=20.0, secret="s")
    with contextlib.closing(connected(port)) as stranger:
      stranger.sendall(b'[1, 2, "b"]\n')
      other = pool.submit(join, "localhost", port, Peer(1, 2, "b"), seconds=20.0, secret="s")
      (connection,) = first.result().values()
    other.result().close()
    connection.close()
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
@pytest.mark.parametrize("secret", ["", "0123"])
def test_processes_of_their_own(secret, tmp_path, data, trial, monkeypatch):
  """The whole binary, with JAX behind the handshake, at the address of this machine alone."""
  monkeypatch.setenv("PRETRAINJAX_SECRET", secret)
  port = free_port()
  flags = (
    f"--config={binaries.MAE}",
    f"--workdir={tmp_path}",
    f"--data_dir={data}",
    "--config.train.duration.steps=2",
    f"--coordinator_address=localhost:{port}",
    "--num_processes=2",
    *binaries.QUICK,
  )
  first = binaries.start("pretrain", *flags, "--process_id=0")
  with contextlib.ExitStack() as opened:
    for said in SAID.values():
      with contextlib.suppress(OSError):
        opened.enter_context(connected(port)).sendall(said)
    second = binaries.start("pretrain", *flags, "--process_id=1")
    for ended in binaries.finish_all([first, second]):
      assert ended.status == 0, ended.errors
  trial()

"""One process alone, ports and host names; several processes are tried in end_to_end/."""

import socket

import pytest

from pretrainjax.errors import UserError
from pretrainjax.process import distributed


def test_one_process_is_the_first_and_agrees_with_itself():
  assert distributed.is_main() and not distributed.is_connected()
  distributed.barrier("nowhere", seconds=0.1)
  assert distributed.agree("a word", "yes") == "yes"
  assert distributed.gather("words", "no") == ["no"]


def test_a_port_that_is_taken_is_told():
  with socket.socket() as taken:
    taken.bind(("", 0))
    taken.listen()
    port = taken.getsockname()[1]
    with pytest.raises(UserError, match=f"--coordinator_address: port {port} is taken on"):
      distributed.check_port(port, seconds=0.3)
  distributed.check_port(port, seconds=0.3)


def test_a_host_that_is_none_is_told():
  limits = {"initialization_timeout": 1, "heartbeat_timeout": 1, "shutdown_timeout": 1}
  with pytest.raises(UserError, match="host 'no.such.host.invalid' cannot be resolved"):
    distributed.connect(
      "no.such.host.invalid:1", num_processes=2, process_id=1, local_device_ids=None, **limits
    )


def test_a_host_known_to_itself_as_loopback_is_warned_of(monkeypatch):
  addresses = {"me": "127.0.1.1", "good": "10.0.0.2", "first": "10.0.0.1", "here": "127.0.0.1"}
  monkeypatch.setattr(socket, "gethostbyname", addresses.__getitem__)
  warning = distributed.loopback_warning("first", "me")
  assert warning is not None and "'me' resolves to 127.0.1.1" in warning
  assert distributed.loopback_warning("first", "good") is None
  assert distributed.loopback_warning("here", "me") is None, "all on one machine"


class Service:
  """A coordination service where process 1 never comes."""

  def __init__(self):
    self.values = {}

  def key_value_set(self, key, value):
    self.values[key] = value

  def key_value_dir_get(self, folder):
    return [(k, v) for k, v in self.values.items() if k.startswith(folder)]

  def wait_at_barrier(self, name, timeout_in_ms):
    raise ValueError("DEADLINE_EXCEEDED: Barrier timed out")

  blocking_key_value_get = wait_at_barrier


def test_a_wait_that_is_too_long_names_who_is_missing(monkeypatch):
  service = Service()
  monkeypatch.setattr(distributed, "client", lambda: service)
  monkeypatch.setattr(distributed, "number_of_processes", lambda: 3)
  with pytest.raises(distributed.PeerLost) as lost:
    distributed.barrier("the start", seconds=5.0)
  assert str(lost.value).startswith("process 1, 2 did not come to 'the start' within 5 s; its log")
  monkeypatch.setattr(distributed, "index", lambda: 1)
  with pytest.raises(distributed.PeerLost, match="process 0 did not say 'a word' within 5 s"):
    distributed.agree("a word", "", seconds=5.0)


@pytest.mark.parametrize(
  ("host", "address"),
  [
    ("localhost", "127.0.0.1"),
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.1.1", "127.0.1.1"),
    ("::1", "::1"),
    ("10.0.0.1", ""),
    ("node1", ""),  # which may be a loopback address on node1 only
    ("", ""),
  ],
)
def test_where_all_are_on_this_machine_no_other_is_listened_to(host, address):
  assert distributed.loopback_address(host) == address


def test_jax_listens_where_the_handshake_does(monkeypatch):
  started = {}

  def initialize(address, count, index, **options):
    started.update(options)

  seen = {}

  def accept_peers(port, me, **options):
    seen.update(options)
    return {}

  monkeypatch.setattr(distributed.jax.distributed, "initialize", initialize)
  monkeypatch.setattr(distributed, "accept_peers", accept_peers)
  monkeypatch.setattr(distributed, "check_port", lambda port: None)
  limits = {"initialization_timeout": 1, "heartbeat_timeout": 1, "shutdown_timeout": 1}
  options = {"num_processes": 2, "process_id": 0, "local_device_ids": None, "secret": "s"}
  for address, listens in (("localhost:7", "127.0.0.1:7"), ("[::1]:7", "[::1]:7")):
    distributed.connect(address, **options, **limits)
    assert started["coordinator_bind_address"] == listens
    assert seen["secret"] == "s" and seen["host"] in listens

"""Several processes as one run: connecting, barriers and gathers with a time limit, leaving.

JAX's coordination service does the work. Its client has no public door, and Orbax uses the same
one; every function here does nothing, or answers for one process, where there is only one.
"""

import contextlib
import errno
import ipaddress
import itertools
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import jax
from jax._src import distributed as _jax_distributed

from pretrainjax.errors import UserError
from pretrainjax.process.rendezvous import Peer, PeerLost, accept_peers, join

# How long processes wait for each other, in seconds, where nothing else is said.
TIMEOUT = 600.0
# All processes come to the same waits in the same order: the number tells one from the next.
_NUMBER = itertools.count()
_log = logging.getLogger(__name__)


def connect(
  address: str,
  *,
  num_processes: int,
  process_id: int,
  local_device_ids: Sequence[int] | None,
  initialization_timeout: int,
  heartbeat_timeout: int,
  shutdown_timeout: int,
  secret: str = "",
) -> dict[int, socket.socket]:
  """Connects this process to the others of its run, before anything asks for a device.

  Args:
    address: HOST:PORT where process 0 coordinates.
    num_processes: the number of processes of the run.
    process_id: the rank of this process, in [0, num_processes).
    local_device_ids: devices of this host that are this process's; () takes all of them, None
      leaves it to JAX.
    initialization_timeout: seconds to wait for the others.
    heartbeat_timeout: seconds of silence after which XLA ends all processes.
    shutdown_timeout: seconds to wait for the others at the end.
    secret: what the launcher gave to all processes of the run, by which they know each other; ""
      lets in whoever says a rank.

  Returns:
    The connections to other processes by rank: to all on process 0, to process 0 on others. They
    are to be kept open, since one that closes says that its process has ended.

  Raises:
    UserError: for an address that is no host's, a port that is taken, or processes that do not
      fit together.
    PeerLost: where other processes do not join in time.
  """
  host, _, port = address.rpartition(":")
  host = host.strip("[]")
  try:
    socket.getaddrinfo(host, int(port))
  except OSError as error:
    raise UserError(
      f"--coordinator_address: host '{host}' cannot be resolved ({error.strerror})"
    ) from error
  me = Peer(process_id, num_processes, f"{socket.gethostname()}, pid {os.getpid()}")
  if process_id == 0:
    check_port(int(port))
    connections = accept_peers(
      int(port), me, seconds=initialization_timeout, host=loopback_address(host), secret=secret
    )
  else:
    connection = join(host, int(port), me, seconds=initialization_timeout, secret=secret)
    connections = {0: connection}
  warning = loopback_warning(host, socket.gethostname())
  if warning:
    _log.warning(warning)
  jax.distributed.initialize(
    address,
    num_processes,
    process_id,
    local_device_ids=local_device_ids,
    initialization_timeout=initialization_timeout,
    heartbeat_timeout_seconds=heartbeat_timeout,
    shutdown_timeout_seconds=shutdown_timeout,
    coordinator_bind_address=_bind_address(loopback_address(host), port),
  )
  return connections


def disconnect() -> None:
  """Leaves the run together with all other processes, which it waits for."""
  jax.distributed.shutdown()


def check_port(port: int, *, seconds: float = 3.0) -> None:
  """Raises UserError for a port that is taken: JAX would end with a segmentation fault.

  Args:
    port: the port of the coordinator.
    seconds: the time to wait for it to be free, as the process before may be about to end.
  """
  end = time.monotonic() + seconds
  while not _is_free(port):
    if time.monotonic() > end:
      raise UserError(
        f"--coordinator_address: port {port} is taken on {socket.gethostname()}, expected a free "
        "one: another run, or what is left of the last one, listens there"
      )
    time.sleep(0.2)


def _is_free(port: int) -> bool:
  with socket.socket(socket.AF_INET) as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as after a restart
    try:
      probe.bind(("", port))
    except OSError as error:
      if error.errno == errno.EADDRINUSE:
        return False
      raise UserError(f"--coordinator_address: port {port}: {error.strerror}") from error
  return True


def loopback_address(host: str) -> str:
  """The address to listen at where all processes are on this machine, else "", which is all.

  Args:
    host: the host of process 0, as the user gave it. Names of machines may be their loopback
      address on themselves only, so that "localhost" is the one that is taken for it.
  """
  if host != "localhost":
    try:
      return host if ipaddress.ip_address(host).is_loopback else ""
    except ValueError:
      return ""
  with contextlib.suppress(OSError):
    return socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0]
  return "::1"


def _bind_address(address: str, port: str) -> str | None:
  """Where JAX's coordinator listens; None leaves it to JAX, which takes all addresses."""
  if not address:
    return None
  return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def loopback_warning(coordinator: str, hostname: str) -> str | None:
  """A warning where other hosts would be told this host's loopback address, else None.

  Args:
    coordinator: the host of process 0, as the user gave it.
    hostname: the name of this machine.
  """
  try:
    own, theirs = socket.gethostbyname(hostname), socket.gethostbyname(coordinator)
  except OSError:
    return None
  if theirs.startswith("127.") or not own.startswith("127."):
    return None
  return (
    f"this host's name '{hostname}' resolves to {own}: on CPUs, processes of other hosts will not "
    "reach this one; give it its network address in /etc/hosts"
  )


def is_connected() -> bool:
  """Whether this process has joined a run of several."""
  return client() is not None


def client() -> Any:
  """The client of JAX's coordination service, None without one."""
  return _jax_distributed.global_state.client


def is_main() -> bool:
  """Whether this process writes what the run writes once."""
  return index() == 0


def index() -> int:
  """The rank of this process, from 0."""
  return _jax_distributed.global_state.process_id


def number_of_processes() -> int:
  """The number of processes of the run."""
  return _jax_distributed.global_state.num_processes


def barrier(name: str, *, seconds: float = TIMEOUT) -> None:
  """Waits until every process has come to the same barrier.

  Args:
    name: the name of the barrier, for the message.
    seconds: the longest time to wait.

  Raises:
    PeerLost: naming the processes that did not come, the barrier and the time.
  """
  gather(name, "", seconds=seconds)


def gather(name: str, text: str, *, seconds: float = TIMEOUT) -> list[str]:
  """Gathers one text of every process, in the order of their ranks; waits for all.

  Args:
    name: the name of the exchange, for the message.
    text: what this process contributes.
    seconds: the longest time to wait.

  Raises:
    PeerLost: naming the processes that did not come, the exchange and the time.
  """
  service = client()
  if service is None:
    return [text]
  folder = f"pretrainjax/said/{next(_NUMBER)}/{name}"
  # Empty values are taken for missing ones.
  service.key_value_set(f"{folder}/{index()}", f"={text}")
  try:
    service.wait_at_barrier(folder, int(seconds * 1000))
  except Exception as error:
    raise PeerLost(_missing_processes(service, folder, name, seconds)) from error
  texts = _by_process(service.key_value_dir_get(folder))
  return [texts[i] for i in range(number_of_processes())]


def agree(name: str, text: str, *, seconds: float = TIMEOUT) -> str:
  """Broadcasts the text of process 0 to every process.

  Args:
    name: the name of what is agreed on, for the message.
    text: what process 0 sends; the texts of other processes are not used.
    seconds: the longest time to wait.

  Raises:
    PeerLost: where process 0 says nothing in time.
  """
  service = client()
  if service is None:
    return text
  key = f"pretrainjax/agreed/{next(_NUMBER)}/{name}"
  if index() == 0:
    service.key_value_set(key, f"={text}")
    return text
  try:
    return service.blocking_key_value_get(key, int(seconds * 1000))[1:]
  except Exception as error:
    raise PeerLost(
      f"process 0 did not say '{name}' within {seconds:.0f} s; its log says what it does"
    ) from error


def _missing_processes(service: Any, folder: str, name: str, seconds: float) -> str:
  """The message that names the processes that did not come."""
  try:
    arrived = _by_process(service.key_value_dir_get(folder))
  except Exception:  # the service may be gone itself
    return f"waiting for all processes at '{name}' failed, as process 0 does not answer"
  missing = [str(i) for i in range(number_of_processes()) if i not in arrived]
  if not missing:
    return f"the wait at '{name}' was cut short: a process that came is gone again"
  return (
    f"process {', '.join(missing)} did not come to '{name}' within {seconds:.0f} s; its log, or "
    "`py-spy dump` of it, says where it is"
  )


def _by_process(pairs: list[tuple[str, str]]) -> dict[int, str]:
  return {int(key.rpartition("/")[2]): text[1:] for key, text in pairs}

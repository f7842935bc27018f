"""Several processes as one run: joining them, agreeing, waiting with a time limit, stopping.

JAX's coordination service does the work. Its client has no public door, and Orbax uses the same
one; every function here does nothing, or answers for one process, where there is only one.
"""

import errno
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
from pretrainjax.process.rendezvous import Guest, PeerLost, come, receive

# How long processes wait for each other, in seconds, where nothing else is said.
PATIENCE = 600.0
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
) -> dict[int, socket.socket]:
  """Joins a run of several processes; before anything asks for a device.

  Args:
    address: HOST:PORT where process 0 coordinates.
    num_processes: of the run.
    process_id: this one, in [0, num_processes).
    local_device_ids: devices of this host that are this process's; () takes all of them, None
      leaves it to JAX.
    initialization_timeout: seconds to wait for the others.
    heartbeat_timeout: seconds of silence after which XLA ends all processes.
    shutdown_timeout: seconds to wait for the others at the end.

  Returns:
    Lines to other processes by number, to all on process 0 and to process 0 on others; whoever ends
    closes its own. To be kept.

  Raises:
    UserError: for an address that is no host's, a port that is taken, or processes that do not
      fit together.
    PeerLost: where others do not come.
  """
  host, _, port = address.rpartition(":")
  host = host.strip("[]")
  try:
    socket.getaddrinfo(host, int(port))
  except OSError as error:
    raise UserError(
      f"--coordinator_address: host '{host}' cannot be resolved ({error.strerror})"
    ) from error
  me = Guest(process_id, num_processes, f"{socket.gethostname()}, pid {os.getpid()}")
  if process_id == 0:
    check_port(int(port))
    lines = receive(int(port), me, seconds=initialization_timeout)
  else:
    lines = {0: come(host, int(port), me, seconds=initialization_timeout)}
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
  )
  return lines


def leave() -> None:
  """Leaves the run, with all others."""
  jax.distributed.shutdown()


def check_port(port: int, *, seconds: float = 3.0) -> None:
  """Raises UserError for a port that is taken: JAX would end with a segmentation fault.

  Args:
    port: of the coordinator.
    seconds: to wait for it, as the process before may be about to end.
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


def loopback_warning(coordinator: str, hostname: str) -> str | None:
  """Says what is wrong where other hosts would be sent to this one's loopback address.

  Args:
    coordinator: host of process 0, as it was given.
    hostname: of this machine.
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
  """This process's number."""
  return _jax_distributed.global_state.process_id


def number_of_processes() -> int:
  """Of the run."""
  return _jax_distributed.global_state.num_processes


def barrier(name: str, *, seconds: float = PATIENCE) -> None:
  """Waits until every process is here.

  Args:
    name: of the place, for the message.
    seconds: to wait at most.

  Raises:
    PeerLost: naming the processes that did not come, the place and the time.
  """
  gather(name, "", seconds=seconds)


def gather(name: str, text: str, *, seconds: float = PATIENCE) -> list[str]:
  """What every process says, in order; waits for all.

  Args:
    name: of the place, for the message.
    text: this process's word.
    seconds: to wait at most.

  Raises:
    PeerLost: naming the processes that did not come, the place and the time.
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
    raise PeerLost(_absent(service, folder, name, seconds)) from error
  said = _by_process(service.key_value_dir_get(folder))
  return [said[i] for i in range(number_of_processes())]


def agree(name: str, text: str, *, seconds: float = PATIENCE) -> str:
  """What process 0 says, on every process.

  Args:
    name: of the matter, for the message.
    text: what process 0 says; others' words are not heard.
    seconds: to wait at most.

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


def _absent(service: Any, folder: str, name: str, seconds: float) -> str:
  """Who did not come."""
  try:
    came = _by_process(service.key_value_dir_get(folder))
  except Exception:  # the service may be gone itself
    return f"waiting for all processes at '{name}' failed, as process 0 does not answer"
  missing = [str(i) for i in range(number_of_processes()) if i not in came]
  if not missing:
    return f"the wait at '{name}' was cut short: a process that came is gone again"
  return (
    f"process {', '.join(missing)} did not come to '{name}' within {seconds:.0f} s; its log, or "
    "`py-spy dump` of it, says where it is"
  )


def _by_process(pairs: list[tuple[str, str]]) -> dict[int, str]:
  return {int(key.rpartition("/")[2]): text[1:] for key, text in pairs}

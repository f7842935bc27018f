"""The processes of a run: told by flags or variables, detected by JAX, or this one alone."""

import argparse
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pretrainjax.errors import UserError

_NAMES = {
  "SlurmCluster": "SLURM",
  "OmpiCluster": "Open MPI",
  "K8sCluster": "Kubernetes",
  "GkeTpuCluster": "GKE's TPUs",
  "GceTpuCluster": "TPU VMs",
}
_SETTINGS = ("coordinator_address", "num_processes", "process_id")


class Cluster(NamedTuple):
  """The facts that a process must know to join the others of its run.

  Attributes:
    num_processes: the number of processes of the run; with 1 there is nothing to join.
    process_id: the rank of this process, from 0.
    address: HOST:PORT where process 0 runs the coordinator.
    source: the place where these numbers were found, for the log.
    local_device_ids: the devices of this process, see `distributed.connect`.
    secret: the secret of the run, see `distributed.connect`.
  """

  num_processes: int
  process_id: int
  address: str
  source: str
  local_device_ids: tuple[int, ...] | None = None
  secret: str = ""

  def line(self) -> str:
    """The line that describes the cluster in the log."""
    if self.num_processes == 1:
      return f"distributed: one process, {self.source}"
    return f"distributed: {self.num_processes} processes, {self.source}, coordinator {self.address}"


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of binaries that may run as several processes."""
  group = parser.add_argument_group("several processes (else the cluster's own settings, else one)")
  group.add_argument("--coordinator_address", metavar="HOST:PORT", help="where process 0 listens")
  group.add_argument("--num_processes", metavar="N", help="of the run")
  group.add_argument("--process_id", metavar="I", help="this one, from 0")
  group.add_argument(
    "--distributed",
    metavar="auto|on|off",
    default="auto",
    help="off: one process whatever the cluster says; on: fail where there are no others",
  )
  for name, default, text in (
    ("initialization_timeout", 300, "to wait for the others at the start"),
    ("heartbeat_timeout", 20, "of silence after which a process counts as lost"),
    ("shutdown_timeout", 60, "to wait for the others at the end"),
  ):
    group.add_argument(f"--{name}", metavar="SECONDS", default=str(default), help=text)


def find(
  flags: argparse.Namespace,
  environ: Mapping[str, str],
  *,
  detect: Callable[[Mapping[str, str], int], Cluster | None] | None = None,
) -> Cluster:
  """Finds the cluster that this process belongs to, without joining it.

  Args:
    flags: the parsed flags of `add_flags`.
    environ: the environment variables; PRETRAINJAX_COORDINATOR_ADDRESS, PRETRAINJAX_NUM_PROCESSES
      and PRETRAINJAX_PROCESS_ID stand in for flags not given; PRETRAINJAX_SECRET has no flag, for
      command lines can be read by all users of a machine.
    detect: the function that asks the cluster; None takes JAX's own detection.

  Raises:
    UserError: for flags that are malformed, or only some of those needed.
  """
  if flags.distributed not in ("auto", "on", "off"):
    raise UserError(f"--distributed: found '{flags.distributed}', expected auto, on or off")
  alone = Cluster(1, 0, "", "by --distributed=off")
  if flags.distributed == "off":
    return alone
  secret = environ.get(_variable("secret"), "")
  flagged = {name: value for name in _SETTINGS if (value := getattr(flags, name))}
  inherited = {name: value for name in _SETTINGS if (value := environ.get(_variable(name)))}
  if flagged or inherited:
    source = "by flags" if flagged else "by PRETRAINJAX_ variables"
    return _explicit(inherited | flagged, flagged, source)._replace(secret=secret)
  timeout = seconds(flags.initialization_timeout, "initialization_timeout")
  found = (detect or detected)(environ, timeout)
  if found is None and flags.distributed == "on":
    raise UserError(
      "--distributed: found on, but no cluster; expected --coordinator_address, --num_processes "
      "and --process_id, or a job of several tasks under SLURM, Open MPI, Kubernetes or on TPUs"
    )
  if found is None:
    return alone._replace(source="as no cluster was found")
  return found._replace(secret=secret)


def seconds(text: str, name: str, *, lowest: int = 1) -> int:
  """Reads a time limit from a flag, in whole seconds.

  Args:
    text: what the user typed.
    name: the flag, for the message.
    lowest: the least number that is accepted.

  Raises:
    UserError: for anything else than a whole number of at least `lowest`.
  """
  if not text.isdecimal() or int(text) < lowest:
    raise UserError(f"--{name}: found '{text}', expected whole seconds, at least {lowest}")
  return int(text)


def _variable(name: str) -> str:
  return f"PRETRAINJAX_{name.upper()}"


def _explicit(values: Mapping[str, str], flagged: Mapping[str, str], source: str) -> Cluster:
  def origin(name: str) -> str:
    return f"--{name}" if name in flagged or name not in values else f"${_variable(name)}"

  for name in _SETTINGS:
    if name not in values:
      raise UserError(
        f"--{name}: found nothing, expected it (or ${_variable(name)}) beside "
        f"{' and '.join(origin(n) for n in _SETTINGS if n in values)}"
      )
  address, count, index = (values[name] for name in _SETTINGS)
  host, _, port = address.rpartition(":")
  if not (host and port.isdecimal() and 0 < int(port) < 2**16):
    raise UserError(
      f"{origin('coordinator_address')}: found '{address}', expected HOST:PORT, such as node1:1234"
    )
  if not count.isdecimal() or int(count) < 1:
    raise UserError(f"{origin('num_processes')}: found '{count}', expected a number, at least 1")
  if not index.isdecimal() or int(index) >= int(count):
    raise UserError(
      f"{origin('process_id')}: found '{index}', expected 0 to {int(count) - 1}, as there are "
      f"{count} processes"
    )
  return Cluster(int(count), int(index), address, source)


def detected(environ: Mapping[str, str], timeout: int) -> Cluster | None:
  """The cluster of several processes that JAX sees itself in, None where there is none.

  Args:
    environ: the environment variables of this process.
    timeout: the seconds to wait for the coordinator's name to be known.
  """
  from jax._src.clusters import ClusterEnv  # JAX tells in no other way what it would do

  for kind in ClusterEnv._cluster_types:
    if kind.opt_in_only_method or not _is_meant(kind.__name__, environ):
      continue
    if not kind.is_env_present() or (count := kind.get_process_count()) < 2:
      continue
    address = environ.get("JAX_COORDINATOR_ADDRESS") or kind.get_coordinator_address(
      timeout_secs=timeout, override_coordinator_port=environ.get("JAX_COORDINATOR_PORT")
    )
    return Cluster(
      num_processes=count,
      process_id=kind.get_process_id(),
      address=address,
      source=f"by {_NAMES.get(kind.__name__, kind.__name__)}",
      local_device_ids=_devices(environ),
    )
  return None


def _is_meant(kind: str, environ: Mapping[str, str]) -> bool:
  """Whether this process is one of a job's tasks, and not a shell or a notebook beside it."""
  if kind == "SlurmCluster":  # in `salloc -n 4` a shell is one task of one
    return environ.get("SLURM_STEP_NUM_TASKS", "") != "1"
  if kind == "K8sCluster":  # every pod has Kubernetes' variables, only an indexed job's this one
    return "JOB_COMPLETION_INDEX" in environ
  return True


def _devices(environ: Mapping[str, str]) -> tuple[int, ...] | None:
  """All devices for a task that has its node alone: JAX would give it one."""
  tasks = environ.get("SLURM_STEP_TASKS_PER_NODE", "")  # "1(x4)", "2(x2),1"
  one_each = tasks and all(part.partition("(")[0] == "1" for part in tasks.split(","))
  return () if one_each and "JAX_LOCAL_DEVICE_IDS" not in environ else None

"""Runs n processes on a Ray cluster: an example, which the package does not depend on.

  ray job submit --working-dir=. -- python launch/ray_job.py --num_processes=4 \\
    --gpus_per_process=8 -- python -m pretrainjax.pretrain --config=... --workdir=... --data_dir=...

Ray only chooses the machines and starts the processes; they find each other through JAX. Its own
JaxTrainer does not initialise jax.distributed on CPUs (ray 2.60). --workdir and --data_dir must be
folders that all machines see, and pretrainjax must be installed on them.
"""

import argparse
import os
import secrets
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence

PREEMPTED, PEER_LOST = 42, 43


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  """Reads the flags, and the command after `--`."""
  parser = argparse.ArgumentParser(
    prog="launch/ray_job.py", description=__doc__.splitlines()[0], allow_abbrev=False
  )
  parser.add_argument("--num_processes", type=int, default=1, metavar="N")
  parser.add_argument("--cpus_per_process", type=int, default=1, metavar="C")
  parser.add_argument("--gpus_per_process", type=int, default=0, metavar="G")
  parser.add_argument("--dry-run", action="store_true", help="print the commands, start nothing")
  parser.add_argument("command", nargs="+", metavar="-- COMMAND", help="what to start")
  return parser.parse_args(argv)


def variables(flags: argparse.Namespace, process: int, coordinator: str) -> dict[str, str]:
  """What a process is told of the others."""
  return {
    "PRETRAINJAX_COORDINATOR_ADDRESS": coordinator,
    "PRETRAINJAX_NUM_PROCESSES": str(flags.num_processes),
    "PRETRAINJAX_PROCESS_ID": str(process),
  }


class Worker:
  """An actor: one process of the run, on the machine that Ray gave it."""

  def address(self) -> str:
    """HOST:PORT of a free port on this machine."""
    import ray

    with socket.socket() as s:
      s.bind(("", 0))
      return f"{ray.util.get_node_ip_address()}:{s.getsockname()[1]}"

  def run(self, command: list[str], settings: dict[str, str]) -> int:
    """Runs the process to its end, and returns its status."""
    # Ray cuts CUDA_VISIBLE_DEVICES to the actor's own GPUs, and the process inherits it.
    return subprocess.run(["launch/environment.sh", *command], env=os.environ | settings).returncode


def start(flags: argparse.Namespace) -> int:
  """Starts one actor a process, and returns the first status that is not 0."""
  import ray

  ray.init()
  worker = ray.remote(num_cpus=flags.cpus_per_process, num_gpus=flags.gpus_per_process)(Worker)
  workers = [worker.remote() for _ in range(flags.num_processes)]
  coordinator = ray.get(workers[0].address.remote())
  secret = {"PRETRAINJAX_SECRET": secrets.token_hex(32)}  # by which they know each other
  waiting = [
    w.run.remote(flags.command, variables(flags, i, coordinator) | secret)
    for i, w in enumerate(workers)
  ]
  statuses = []
  while waiting:
    ended, waiting = ray.wait(waiting)
    statuses += ray.get(ended)
  failed = [s if s > 0 else 128 - s for s in statuses if s]
  culprits = [s for s in failed if s not in (PREEMPTED, PEER_LOST)]
  return (culprits or sorted(failed, reverse=True) or [0])[0]


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the launcher and returns its exit status."""
  flags = parse(argv)
  if not flags.dry_run:
    return start(flags)
  for i in range(flags.num_processes):
    settings = [f"{k}={v}" for k, v in variables(flags, i, "HOST:PORT").items()]
    print(f"[{i}]", *settings, "launch/environment.sh", shlex.join(flags.command))
  return 0


if __name__ == "__main__":
  sys.exit(main())

"""The binaries as a user starts them: in this process, or in one of their own."""

import importlib
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import simulated

from pretrainjax.command import BINARIES

ROOT = Path(__file__).parents[2]
MAE = str(ROOT / "configs/pretrain/image/mae_vit_fashion_mnist.py") + ":smoke"
# Leaves out what a test of the engine does not look at.
QUICK = ("--config.train.tracking.tensorboard=false", "--config.evals.collapse.num_examples=64")


class Ended(NamedTuple):
  """How a binary ended."""

  status: int
  out: str
  errors: list[str]


def call(capsys, verb: str, *arguments: str | Path) -> Ended:
  """Runs a binary in this process."""
  binary = importlib.import_module(f"pretrainjax.{BINARIES.get(verb, verb)}")
  capsys.readouterr()
  status = binary.main([str(a) for a in arguments])
  captured = capsys.readouterr()
  return Ended(status, captured.out, captured.err.splitlines())


def start(
  verb: str, *arguments: str | Path, devices: int = 1, fault: str | None = None
) -> subprocess.Popen:
  """Starts a binary as a process with so many simulated devices; its output is piped.

  Args:
    verb: the binary.
    *arguments: of the command line.
    devices: simulated ones.
    fault: that happens in it, as faulty.py has it.
  """
  program = ["-m", f"pretrainjax.{verb}"]
  if fault is not None:
    program = [str(ROOT / "tests/support/faulty.py"), fault, verb]
  return subprocess.Popen(
    [sys.executable, *program, *map(str, arguments)],
    env=simulated.environment(devices),
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def start_many(
  verb: str,
  *arguments: str | Path,
  processes: int,
  devices: int = 1,
  own: dict[int, Sequence[str]] | None = None,
  faults: dict[int, str] | None = None,
) -> list[subprocess.Popen]:
  """Starts a binary as several processes of one run.

  Args:
    verb: the binary.
    *arguments: of all processes.
    processes: how many.
    devices: simulated ones of each process.
    own: further arguments of a process, by its number.
    faults: that happen in a process, by its number.
  """
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = probe.getsockname()[1]
  flags = (f"--coordinator_address=localhost:{port}", f"--num_processes={processes}")
  return [
    start(
      verb,
      *arguments,
      *flags,
      f"--process_id={i}",
      *(own or {}).get(i, ()),
      devices=devices,
      fault=(faults or {}).get(i),
    )
    for i in range(processes)
  ]


def finish_all(running: list[subprocess.Popen], *, timeout: float = 300) -> list[Ended]:
  """Waits for all processes of `start_many`, reading all that they write."""
  with ThreadPoolExecutor(len(running)) as pool:
    return list(pool.map(lambda process: finish(process, timeout=timeout), running))


def finish(process: subprocess.Popen, *, timeout: float = 300) -> Ended:
  """Waits for a process of `start`."""
  try:
    out, errors = process.communicate(timeout=timeout)
  finally:
    process.kill()
  return Ended(process.returncode, out, errors.splitlines())

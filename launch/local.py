"""Starts n processes of one run on this machine, watches them, and ends them together.

  python launch/local.py --num_processes=2 -- python -m pretrainjax.pretrain --config=... ...

Each process gets --coordinator_address, --num_processes and --process_id after its own arguments,
its share of the GPUs, and a secret of this attempt by which they know each other. Lines of output
begin with the process's number. Where one process fails, the others are ended too. The exit status
explains the end: 2 a mistake of the user's, otherwise that of the process that failed, 43 if each
only lost another one, 42 preempted and saved.
With --max_restarts it starts them again, after pauses that double until there is a new checkpoint.
Should it be killed itself, the processes are asked to stop.
"""

import argparse
import ctypes
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ENVIRONMENT = Path(__file__).with_name("environment.sh")
USER_ERROR, PREEMPTED, PEER_LOST = 2, 42, 43
# A process that saves may need longer than its neighbour; one whose neighbour died need not.
SECONDS_TO_SAVE = 120.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Of prctl(2); there is none but on Linux.
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  """Reads the flags, and the command after `--`."""
  parser = argparse.ArgumentParser(
    prog="launch/local.py", description=__doc__.splitlines()[0], allow_abbrev=False
  )
  parser.add_argument("--num_processes", type=int, default=1, metavar="N")
  parser.add_argument(
    "--devices_per_process",
    type=int,
    default=0,
    metavar="D",
    help="GPUs of each process (default: all GPUs / N), or simulated devices where there is no GPU",
  )
  parser.add_argument(
    "--max_restarts",
    type=int,
    default=0,
    metavar="R",
    help="start all again so often, unless the mistake is the user's (default 0); the pause before "
    "doubles from 1 s to 60 s, and is 1 s again after a new checkpoint in the command's --workdir",
  )
  parser.add_argument(
    "--grace",
    type=float,
    default=5.0,
    metavar="SECONDS",
    help="for the others to end by themselves after one has failed (default 5)",
  )
  parser.add_argument(
    "--port", type=int, default=0, help="of the coordinator (default: a free one)"
  )
  parser.add_argument("--dry-run", action="store_true", help="print the commands, start nothing")
  parser.add_argument("command", nargs="+", metavar="-- COMMAND", help="what to start")
  flags = parser.parse_args(argv)
  if flags.num_processes < 1:
    parser.error(f"--num_processes: found {flags.num_processes}, expected at least 1")
  gpus = visible_gpus()
  if gpus and flags.num_processes * max(flags.devices_per_process, 1) > gpus:
    wanted = f"{flags.num_processes} x {max(flags.devices_per_process, 1)}"
    parser.error(
      f"--num_processes x --devices_per_process: found {wanted}, expected <= {gpus} GPUs"
    )
  return flags


def visible_gpus() -> int:
  """How many NVIDIA GPUs a process started here would see."""
  if "cpu" in (os.environ.get("JAX_PLATFORMS"), os.environ.get("PRETRAINJAX_DEVICE")):
    return 0
  if "CUDA_VISIBLE_DEVICES" in os.environ:
    return len([d for d in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if d.strip()])
  try:
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
  except (OSError, subprocess.CalledProcessError):
    return 0
  return sum(line.startswith("GPU ") for line in listed.splitlines())


def device_variables(flags: argparse.Namespace, process: int) -> dict[str, str]:
  """What tells one process which devices are its own.

  JAX_LOCAL_DEVICE_IDS leaves the other GPUs visible to NCCL, which CUDA_VISIBLE_DEVICES would hide.
  """
  if gpus := visible_gpus():
    share = flags.devices_per_process or gpus // flags.num_processes
    first = process * share
    return {"JAX_LOCAL_DEVICE_IDS": ",".join(str(first + i) for i in range(share))}
  if flags.devices_per_process:
    simulated = f"--xla_force_host_platform_device_count={flags.devices_per_process}"
    # NPROC: or many devices on few cores wait for each other for ever.
    return {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {simulated}".strip(), "NPROC": "16"}
  return {}


def command_of(flags: argparse.Namespace, process: int, port: int) -> list[str]:
  """The arguments of one process."""
  return [
    str(ENVIRONMENT),
    *flags.command,
    f"--coordinator_address=127.0.0.1:{port}",
    f"--num_processes={flags.num_processes}",
    f"--process_id={process}",
  ]


def stop_with_the_launcher() -> None:
  """In a process about to start: it gets SIGTERM when the thread that started it is gone."""
  if hasattr(LIBC, "prctl"):
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def newest_step(command: Sequence[str]) -> int:
  """Of the checkpoints in the command's --workdir; -1 without any."""
  for flag, value in zip(command, [*command[1:], ""], strict=True):
    if flag.startswith("--workdir"):
      folder = Path(flag.partition("=")[2] or value) / "checkpoints"
      names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
      return max((int(name) for name in names if name.isdecimal()), default=-1)
  return -1


def free_port() -> int:
  """A port that nobody listens on: a coordinator on a taken one ends in a segmentation fault."""
  with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    return s.getsockname()[1]


class Group:
  """The processes of one attempt; each leads a process group, so that its children end with it."""

  def __init__(self, flags: argparse.Namespace):
    """Starts them."""
    port = flags.port or free_port()
    # Not as a flag: command lines can be read by all users of a machine.
    secret = {"PRETRAINJAX_SECRET": secrets.token_hex(32)}
    self._processes = [
      subprocess.Popen(
        command_of(flags, i, port),
        env=os.environ | device_variables(flags, i) | secret,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=stop_with_the_launcher,
      )
      for i in range(flags.num_processes)
    ]
    self._readers = [
      threading.Thread(target=_copy_lines, args=(i, p.stdout), daemon=True)
      for i, p in enumerate(self._processes)
    ]
    for reader in self._readers:
      reader.start()

  def send(self, number: int) -> None:
    """Sends a signal to each process, not to its children: it is for the process to end those."""
    for process in self._processes:
      if process.poll() is None:
        process.send_signal(number)

  def wait(self, grace: float) -> int:
    """Waits for the end of all, ends those that outlive a failed one, and returns the status."""
    ended: list[int] = []  # in order of time; of those at the same time, in order of process
    waiting = list(self._processes)
    deadline = float("inf")
    while waiting and time.monotonic() < deadline:
      now = [p for p in waiting if p.poll() is not None]
      waiting = [p for p in waiting if p not in now]
      ended += [status_of(p) for p in now]
      failed = [status for status in ended if status]
      if failed:
        seconds = grace if any(s != PREEMPTED for s in failed) else SECONDS_TO_SAVE
        deadline = min(deadline, time.monotonic() + seconds)
      time.sleep(0.02)
    for process in waiting:
      say(f"process {self._processes.index(process)} did not follow the others and is ended")
    self.kill()
    return explaining(ended)

  def kill(self) -> None:
    """Ends what is left: processes, and children they left behind."""
    for process in self._processes:
      try:
        os.killpg(process.pid, signal.SIGKILL)
      except ProcessLookupError:
        pass  # the whole group has ended
      process.wait()
    for reader in self._readers:
      reader.join(timeout=5)


def _copy_lines(process: int, stream: Iterable[bytes]) -> None:
  for line in stream:
    sys.stdout.buffer.write(b"[%d] " % process + line.rstrip(b"\n") + b"\n")
    sys.stdout.buffer.flush()


def status_of(process: subprocess.Popen) -> int:
  """As a shell sees it: a process that signal 9 ended has 137."""
  return process.returncode if process.returncode >= 0 else 128 - process.returncode


def explaining(statuses: Sequence[int]) -> int:
  """Of statuses in order of time, the one that says why the run ended."""
  failed = [status for status in statuses if status]
  culprits = [status for status in failed if status not in (PREEMPTED, PEER_LOST)]
  for status in (USER_ERROR, *culprits, PEER_LOST, PREEMPTED):
    if status in failed:
      return status
  return 0


def supervise(flags: argparse.Namespace, start: Callable[[argparse.Namespace], Group]) -> int:
  """Runs attempts until one ends well, was a mistake, was told to stop, or restarts are used up."""
  told: list[int] = []
  group: Group | None = None

  def forward(number: int, frame: object) -> None:
    told.append(number)
    if group is not None and len(told) > 2:
      group.kill()  # whoever presses Ctrl-C three times means it
    elif group is not None:
      group.send(number)

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, forward)
  failures, newest = 0, newest_step(flags.command)
  for restart in range(flags.max_restarts + 1):
    group = start(flags)
    if told:  # while they were being started
      group.send(told[-1])
    status = group.wait(flags.grace)
    if status in (0, USER_ERROR) or told or restart == flags.max_restarts:
      return status
    before, newest = newest, newest_step(flags.command)
    failures = 0 if newest > before else failures + 1
    pause = min(FIRST_PAUSE * 2 ** max(failures - 1, 0), LONGEST_PAUSE)
    say(f"ended with {status}; restart {restart + 1} of {flags.max_restarts} in {pause:g} s")
    end = time.monotonic() + pause
    while time.monotonic() < end and not told:
      time.sleep(0.05)
    if told:
      return status
  raise AssertionError("the last attempt returns")


def say(text: str) -> None:
  """A line of the launcher's own."""
  print(f"launch/local.py: {text}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the launcher and returns its exit status."""
  flags = parse(argv)
  if flags.dry_run:
    port = flags.port or free_port()
    for i in range(flags.num_processes):
      variables = [f"{k}={shlex.quote(v)}" for k, v in device_variables(flags, i).items()]
      print(f"[{i}]", *variables, shlex.join(command_of(flags, i, port)))
    return 0
  return supervise(flags, Group)


if __name__ == "__main__":
  sys.exit(main())

"""The command line that all binaries share: flags, help, exit status, JAX's process-wide settings.

Exit status: 0 done; 1 a failure of ours or the machine's, with a traceback; 2 the user's mistake,
in one line; 42 preempted and saved, start the same command again to go on; 43 another process of
the run was lost, start them all again; 124 no progress; 130 interrupted.
"""

import argparse
import contextlib
import dataclasses
import errno
import importlib
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ml_collections import ConfigDict

from pretrainjax.command_line import CommandLine, make_parser, read
from pretrainjax.errors import UserError, nearest
from pretrainjax.process import backend, cluster, determinism
from pretrainjax.process.ending import INTERRUPTED, USER_ERROR, Ending, as_process
from pretrainjax.process.rendezvous import PeerLost
from pretrainjax.process.watchdog import STUCK, Watchdog
from pretrainjax.user_path import user_path

if TYPE_CHECKING:  # importing it takes JAX, which a mistake should not wait for
  from pretrainjax.process.heartbeats import Heartbeats

VERBS = (
  "prepare",
  "pretrain",
  "finetune",
  "evaluate",
  "predict",
  "export",
  "benchmark",
  "configs",
  "config",
)
# Where a verb is not the module of its name.
BINARIES = {
  verb: f"{verb}.__main__" for verb in ("prepare", "predict", "export", "benchmark", "config")
}
PREEMPTED = 42
# Errors of a path that a user typed: too long, not allowed, a file in place of a folder.
_NO_PLACE = (
  errno.ENAMETOOLONG,
  errno.EACCES,
  errno.EPERM,
  errno.EROFS,
  errno.ELOOP,
  errno.ENOTDIR,
  errno.EISDIR,
)


class Preempted(Exception):
  """The run was asked to stop, saved its state and can be started again."""


@dataclasses.dataclass(frozen=True)
class Request:
  """The parsed command line of a binary.

  Attributes:
    config: the config with all overrides applied.
    workdir: the folder of the run.
    options: the binary's own flags.
    ending: what ends the process at once, from any thread.
    watchdog: the watchdog of the run's progress; None where the binary does not train.
    defaults: the config without overrides.
  """

  config: ConfigDict
  workdir: Path
  options: argparse.Namespace
  ending: Ending = dataclasses.field(default_factory=lambda: Ending(""))
  watchdog: Watchdog | None = None
  defaults: ConfigDict = dataclasses.field(default_factory=ConfigDict)


def launch(
  work: Callable[[Request], None],
  *,
  verb: str,
  description: str,
  argv: Sequence[str] | None,
  add_flags: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
  make_config: Callable[[argparse.Namespace], ConfigDict | None] = lambda flags: None,
  needs_workdir: bool = True,
  many_processes: bool = False,
) -> int:
  """Parses flags, runs `work`, and turns its result or exception into an exit status.

  Args:
    work: the function that does the work of the binary.
    verb: the name of the binary.
    description: the description for --help.
    argv: the arguments after the program's name; None takes those of the process.
    add_flags: the function that adds the binary's own flags to the parser.
    make_config: the function that makes the config from the other flags where --config is not
      given; where it returns None, --config is required.
    needs_workdir: whether --workdir is required.
    many_processes: whether `work` may run as one of several processes.

  Returns:
    The exit status.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  debug = "--debug" in argv
  _set_up_output()
  parser = make_parser(verb, description, needs_workdir=needs_workdir)
  add_flags(parser)
  if many_processes:
    cluster.add_flags(parser)
  try:
    command_line = read(argv, parser, make_config, needs_workdir=needs_workdir)
    if command_line is not None:
      needs_devices = needs_workdir or many_processes  # a run is made or read
      _run(work, command_line, verb=verb, debug=debug, needs_devices=needs_devices)
  except (UserError, OSError, Preempted, KeyboardInterrupt) as error:
    return _status(error, verb=verb, debug=debug)
  return 0


def _set_up_output() -> None:
  for stream in (sys.stdout, sys.stderr):  # names of files may be no text
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="backslashreplace")
  logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
  # Orbax tells every reader that it is one.
  logging.getLogger("absl").setLevel(logging.ERROR)


def _run(
  work: Callable[[Request], None],
  command_line: CommandLine,
  *,
  verb: str,
  debug: bool,
  needs_devices: bool,
) -> None:
  """Joins the other processes, sets JAX up, and does the work."""
  flags, config, defaults = command_line
  ending = Ending(verb)
  with _watchdog(flags, ending) as watchdog:
    backend.check_environment(os.environ)
    deterministic = determinism.is_wanted(config)
    started_before = deterministic and backend.set_xla_flags()
    is_many = "num_processes" in flags
    heartbeats = _join(verb, flags, ending, watchdog) if is_many else None
    backend.set_up()
    if deterministic:
      backend.check_devices(started_before)
    workdir = user_path(flags.workdir or ".")
    request = Request(config, workdir, flags, ending, watchdog, defaults)
    with _end_together(heartbeats, debug=debug):
      if needs_devices:
        backend.start(os.environ)
      work(request)


@contextlib.contextmanager
def _watchdog(flags: argparse.Namespace, ending: Ending) -> Iterator[Watchdog | None]:
  """Yields the watchdog of a binary that trains, None for another one."""
  if "stuck_after" not in flags:
    yield None
    return
  stuck_after = cluster.seconds(flags.stuck_after, "stuck_after", lowest=0)
  watchdog = Watchdog(float(stuck_after), on_stuck=lambda line: ending.end(line, status=STUCK))
  try:
    yield watchdog
  finally:
    watchdog.stop()


def _status(error: BaseException, *, verb: str, debug: bool) -> int:
  """Says on standard error how a binary ended, and returns its exit status.

  Raises:
    BaseException: the same again, where a traceback should tell more.
  """
  if isinstance(error, Preempted):
    if str(error):
      print(f"{verb}: {error}", file=sys.stderr)
    return PREEMPTED
  if isinstance(error, KeyboardInterrupt):
    print(f"{verb}: interrupted", file=sys.stderr)
    return INTERRUPTED
  is_mistake = not isinstance(error, OSError) or (
    error.errno in _NO_PLACE and error.filename is not None
  )
  if debug or not is_mistake:
    raise error
  if isinstance(error, OSError):
    error = UserError(f"'{error.filename}' cannot be used ({error.strerror})")
  print(f"{verb}: error: {error}", file=sys.stderr)
  return USER_ERROR


def script() -> NoReturn:
  """Runs the console script of an installation from before `pretrainjax.__main__`."""
  as_process(lambda _: main())


def main() -> int:
  """Runs a verb: `pretrainjax VERB ...` is `python -m pretrainjax.VERB ...`."""
  verb, rest = (sys.argv[1:2] or [""])[0], sys.argv[2:]
  if (status := refused(verb, VERBS, called="pretrainjax", name="pretrainjax")) is not None:
    return status
  if verb == "configs":
    return importlib.import_module("pretrainjax.config.command").list_configs(rest)
  return importlib.import_module(f"pretrainjax.{BINARIES.get(verb, verb)}").main(rest)


def refused(verb: str, verbs: Collection[str], *, called: str, name: str) -> int | None:
  """Refuses a word that is no verb, and prints the verbs.

  Args:
    verb: the word that was typed; "" and the flags of help ask for the verbs.
    verbs: the verbs of the binary.
    called: the command that starts the binary.
    name: the name of the binary, for messages.

  Returns:
    The exit status, or None for a verb.
  """
  if verb in ("", "-h", "--help"):
    print(f"usage: {called} {{{','.join(verbs)}}} ...; each has --help")
    return 0 if verb else USER_ERROR
  if verb not in verbs:
    print(f"{name}: error: no verb '{verb}'{nearest(verb, verbs)}", file=sys.stderr)
    return USER_ERROR
  return None


def _join(
  verb: str, flags: argparse.Namespace, ending: Ending, watchdog: Watchdog | None
) -> "Heartbeats | None":
  """Connects to the other processes of the run; returns None where there are none."""
  found = cluster.find(flags, os.environ)
  if found.num_processes == 1:
    if flags.distributed != "auto" or found.address:
      print(found.line())
    return None
  if found.process_id == 0:
    print(found.line(), flush=True)
  else:  # one process tells what concerns all; records that it alone reads are its own
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("pretrainjax.data").setLevel(logging.WARNING)
  from pretrainjax.process.distributed import connect
  from pretrainjax.process.heartbeats import PEER_LOST, Heartbeats
  from pretrainjax.process.preemption import handle_sigterm

  limits = {
    name: cluster.seconds(getattr(flags, name), name)
    for name in ("initialization_timeout", "heartbeat_timeout", "shutdown_timeout")
  }
  heartbeats = Heartbeats(
    verb=verb,
    index=found.process_id,
    count=found.num_processes,
    address=found.address,
    heartbeat_timeout=float(limits["heartbeat_timeout"]),
    watchdog=watchdog,
    exit_process=ending.exit,
  )
  try:
    connections = connect(
      found.address,
      num_processes=found.num_processes,
      process_id=found.process_id,
      local_device_ids=found.local_device_ids,
      secret=found.secret,
      # XLA beats twice in this time, so that it judges after half of it at the earliest: not before
      # `Heartbeats`, which names the process that is lost.
      **limits | {"heartbeat_timeout": limits["heartbeat_timeout"] * 5 // 2},
    )
  except PeerLost as error:
    ending.end(f"could not join the run at {found.address}: {error}", status=PEER_LOST)
    raise
  handle_sigterm()  # JAX's own handler would take the signal in; training asks the handler
  heartbeats.start(connections)
  ending.end_all_by(heartbeats.end_all)
  return heartbeats


@contextlib.contextmanager
def _end_together(heartbeats: "Heartbeats | None", *, debug: bool) -> Iterator[None]:
  """Makes all processes end together; where one fails, all end at once."""
  if heartbeats is None:
    yield
    return
  from pretrainjax.process.distributed import barrier, disconnect, is_main
  from pretrainjax.process.preemption import handle_sigterm

  stop = None
  try:
    try:
      yield
    except Preempted as notice:
      stop = notice if is_main() else Preempted()
    barrier("the end of the run")
  except UserError as error:
    heartbeats.fail(error, status=USER_ERROR, line=f"error: {error}", debug=debug)
  except KeyboardInterrupt as error:
    heartbeats.fail(error, status=INTERRUPTED, line="interrupted", debug=debug)
  except BaseException as error:
    heartbeats.fail(error, status=1, line="", debug=debug)
  heartbeats.stop()
  handle_sigterm().close()
  disconnect()
  heartbeats.close()
  if stop is not None:
    raise stop

"""The command line that all binaries share: flags, help, exit status, JAX's process-wide settings.

Exit status: 0 done; 1 a failure of ours or the machine's, with a traceback; 2 the user's mistake,
in one line; 42 preempted and saved, start the same command again to go on; 43 another process of
the run was lost, start them all again; 124 no progress; 130 interrupted.
"""

import argparse
import contextlib
import copy
import dataclasses
import errno
import importlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ml_collections import ConfigDict

from pretrainjax.config.text import load_config, override, value_lines
from pretrainjax.errors import UserError, nearest
from pretrainjax.process import backend, cluster, determinism
from pretrainjax.process.ending import Ending, as_process
from pretrainjax.process.rendezvous import PeerLost
from pretrainjax.process.watchdog import STUCK, Watchdog

if TYPE_CHECKING:  # importing it takes JAX, which a mistake should not wait for
  from pretrainjax.process.heartbeats import Heartbeats

VERBS = (
  "prepare",
  "pretrain",
  "finetune",
  "evaluate",
  "predict",
  "benchmark",
  "configs",
  "config",
)
# Where a verb is not the module of its name.
BINARIES = {verb: f"{verb}.__main__" for verb in ("prepare", "predict", "benchmark", "config")}
USER_ERROR, PREEMPTED = 2, 42
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
  debug, watchdog = "--debug" in argv, None
  for stream in (sys.stdout, sys.stderr):  # names of files may be no text
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors="backslashreplace")
  logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
  # Orbax tells every reader that it is one.
  logging.getLogger("absl").setLevel(logging.ERROR)
  try:
    arguments, overrides = _take_overrides(argv)
    parser = _parser(verb, description, needs_workdir)
    add_flags(parser)
    if many_processes:
      cluster.add_flags(parser)
    wants_help = any(flag in arguments for flag in ("-h", "--help"))
    known, unknown = parser.parse_known_args([a for a in arguments if a not in ("-h", "--help")])
    config = make_config(known) if known.config is None else load_config(known.config)
    defaults = copy.deepcopy(config)
    _override(config, overrides)
    if wants_help:
      _print_help(parser, config, defaults)
      return 0
    _refuse_unknown(unknown, parser)
    if config is None:
      raise UserError(
        "--config: found nothing, expected FILE[:arg], or NAME[:arg] of `pretrainjax configs`"
      )
    if needs_workdir and known.workdir is None:
      raise UserError("--workdir: found nothing, expected a folder for checkpoints and logs")
    for key in ("data_dir", "datasets"):
      if getattr(known, key) is not None:
        _set_everywhere(config, key, getattr(known, key))
    ending = Ending(verb)
    if "stuck_after" in known:
      stuck_after = cluster.seconds(known.stuck_after, "stuck_after", lowest=0)
      watchdog = Watchdog(float(stuck_after), on_stuck=lambda line: ending.end(line, status=STUCK))
    deterministic = determinism.is_wanted(config)
    started_before = deterministic and backend.set_xla_flags()
    heartbeats = _join(verb, known, ending, watchdog) if many_processes else None
    backend.set_up()
    if deterministic:
      backend.check_devices(started_before)
    workdir = Path(known.workdir or ".")
    request = Request(config, workdir, known, ending, watchdog, defaults)
    with _end_together(heartbeats, debug=debug):
      work(request)
  except UserError as error:
    if debug:
      raise
    print(f"{verb}: error: {error}", file=sys.stderr)
    return USER_ERROR
  except OSError as error:
    if debug or error.errno not in _NO_PLACE or error.filename is None:
      raise
    reason = UserError(f"'{error.filename}' cannot be used ({error.strerror})")
    print(f"{verb}: error: {reason}", file=sys.stderr)
    return USER_ERROR
  except Preempted as stop:
    if str(stop):
      print(f"{verb}: {stop}", file=sys.stderr)
    return PREEMPTED
  except KeyboardInterrupt:
    print(f"{verb}: interrupted", file=sys.stderr)
    return 130
  finally:
    if watchdog is not None:
      watchdog.stop()
  return 0


def script() -> NoReturn:
  """Runs the console script as a process of its own, see `main`."""
  as_process(lambda _: main())


def main() -> int:
  """Runs a verb: `pretrainjax VERB ...` is `python -m pretrainjax.VERB ...`."""
  verb, rest = (sys.argv[1:2] or [""])[0], sys.argv[2:]
  if (status := refused(verb, VERBS, called="pretrainjax", name="pretrainjax")) is not None:
    return status
  if verb == "configs":
    return importlib.import_module("pretrainjax.config.__main__").list_configs(rest)
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


def _parser(verb: str, description: str, needs_workdir: bool) -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog=f"python -m pretrainjax.{verb}",
    description=description,
    epilog="--config.KEY=VALUE overrides any value of the config; --help with --config lists them.",
    add_help=False,
    allow_abbrev=False,
  )
  parser.error = _raise_user_error
  parser.add_argument(
    "--config",
    metavar="FILE[:arg]",
    help="config file, or the name of a shipped one, and its argument",
  )
  if needs_workdir:
    parser.add_argument("--workdir", metavar="DIR", help="folder of checkpoints and logs")
  else:
    parser.add_argument("--workdir", metavar="DIR", help=argparse.SUPPRESS)
  parser.add_argument(
    "--data_dir", metavar="DIR", help="where datasets lie; sets every data_dir of the config"
  )
  parser.add_argument(
    "--datasets", metavar="NAME", help="another dataset; sets every `datasets` of the config"
  )
  parser.add_argument("--debug", action="store_true", help="show tracebacks of mistakes too")
  parser.add_argument("-h", "--help", action="store_true", help="this text")
  return parser


def _set_everywhere(config: ConfigDict, key: str, value: str) -> None:
  for name in config:
    if name == key:
      with config.ignore_type():  # a mixture may stand there
        config[name] = value
    elif isinstance(config[name], ConfigDict):
      _set_everywhere(config[name], key, value)


def _raise_user_error(message: str) -> None:
  raise UserError(message)


def _take_overrides(argv: list[str]) -> tuple[list[str], dict[str, str]]:
  """Splits `--config.a.b=v` (or `--config.a.b v`) from the rest."""
  rest, overrides = [], {}
  arguments = iter(argv)
  for argument in arguments:
    match = re.fullmatch(r"--config\.([^=]+)(?:=(.*))?", argument, flags=re.DOTALL)
    if not match:
      rest.append(argument)
      continue
    key, value = match.groups()
    value = next(arguments, None) if value is None else value
    if value is None:
      raise UserError(f"--config.{key}: found no value, expected --config.{key}=VALUE")
    overrides.pop(key, None)  # the last one wins, also in order
    overrides[key] = value
  return rest, overrides


def _refuse_unknown(unknown: list[str], parser: argparse.ArgumentParser) -> None:
  if unknown:
    flags = [s for action in parser._actions for s in action.option_strings]
    name = unknown[0].split("=")[0]
    raise UserError(f"unknown flag '{unknown[0]}'{nearest(name, flags)}")


def _override(config: ConfigDict | None, overrides: dict[str, str]) -> None:
  if config is not None:
    for key, text in overrides.items():
      override(config, key, text)


def _print_help(
  parser: argparse.ArgumentParser, config: ConfigDict | None, defaults: ConfigDict | None
) -> None:
  parser.print_help()
  if config is None or defaults is None:
    print("\nGive --config=FILE or a config's name too, to see what it can change.")
    return
  print("\nWhat the config can change (--config.KEY=VALUE), with its values:")
  print("\n".join(value_lines(config, defaults)))


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
    heartbeats.fail(error, status=130, line="interrupted", debug=debug)
  except BaseException as error:
    heartbeats.fail(error, status=1, line="", debug=debug)
  heartbeats.stop()
  handle_sigterm().close()
  disconnect()
  heartbeats.close()
  if stop is not None:
    raise stop


if __name__ == "__main__":
  script()

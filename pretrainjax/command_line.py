"""The command line that all binaries share, read: flags, overrides of the config, help."""

import argparse
import copy
import re
from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from pretrainjax.config.text import load_config, override, value_lines
from pretrainjax.errors import UserError, nearest


class CommandLine(NamedTuple):
  """A command line, read: the flags, the config with its overrides, and without them."""

  flags: argparse.Namespace
  config: ConfigDict
  defaults: ConfigDict


def make_parser(verb: str, description: str, *, needs_workdir: bool) -> argparse.ArgumentParser:
  """Makes the parser of the flags that all binaries share.

  Args:
    verb: the name of the binary.
    description: the description for --help.
    needs_workdir: whether --workdir is shown.
  """
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
    "--datasets", metavar="NAME[,NAME]", help="other datasets; sets every `datasets` of the config"
  )
  parser.add_argument("--debug", action="store_true", help="show tracebacks of mistakes too")
  parser.add_argument("-h", "--help", action="store_true", help="this text")
  return parser


def read(
  argv: list[str],
  parser: argparse.ArgumentParser,
  make_config: Callable[[argparse.Namespace], ConfigDict | None],
  *,
  needs_workdir: bool,
) -> CommandLine | None:
  """Reads a command line.

  Args:
    argv: the arguments after the program's name.
    parser: the parser of all flags of the binary.
    make_config: makes the config of a binary without --config, see `command.launch`.
    needs_workdir: whether --workdir is required.

  Returns:
    What was given; None where help was asked for, which is printed.

  Raises:
    UserError: for flags, a config or overrides that are none.
  """
  arguments, overrides = _take_overrides(argv)
  wants_help = any(flag in arguments for flag in ("-h", "--help"))
  known, unknown = parser.parse_known_args([a for a in arguments if a not in ("-h", "--help")])
  config = make_config(known) if known.config is None else load_config(known.config)
  defaults = copy.deepcopy(config)
  _override(config, overrides)
  if wants_help:
    _print_help(parser, config, defaults)
    return None
  _refuse_unknown(unknown, parser)
  if config is None or defaults is None:
    raise UserError(
      "--config: found nothing, expected FILE[:arg], or NAME[:arg] of `pretrainjax configs`"
    )
  if needs_workdir and known.workdir is None:
    raise UserError("--workdir: found nothing, expected a folder for checkpoints and logs")
  for key in ("data_dir", "datasets"):
    if getattr(known, key) is not None:
      _set_everywhere(config, key, getattr(known, key))
  return CommandLine(known, config, defaults)


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

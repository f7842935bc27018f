"""The command lines of `config` and `configs`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from pretrainjax.command import USER_ERROR, Request, launch
from pretrainjax.config.shipped import file_and_form, locate
from pretrainjax.config.text import difference, load_config
from pretrainjax.errors import UserError
from pretrainjax.report.configs import config_list, config_markdown, config_page
from pretrainjax.user_path import user_path


def main(argv: Sequence[str] | None = None) -> int:
  """Shows or copies one config; returns the exit status."""
  return launch(
    _work,
    verb="config",
    description="Show all values of a config; those that --config.KEY=VALUE changed are marked.",
    argv=argv,
    add_flags=_add_flags,
    make_config=_make_config,
    needs_workdir=False,
  )


def list_configs(argv: Sequence[str]) -> int:
  """Lists the shipped configs; returns the exit status."""
  parser = argparse.ArgumentParser(prog="pretrainjax configs", description="List the configs.")
  parser.add_argument("words", nargs="*", help="list those whose name or line holds all of them")
  parser.add_argument("--markdown", action="store_true", help="as the tables of docs/configs.md")
  options = parser.parse_args(argv)
  try:
    print(config_markdown() if options.markdown else config_list(options.words))
  except UserError as error:
    print(f"configs: error: {error}", file=sys.stderr)
    return USER_ERROR
  return 0


def _add_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("name", nargs="?", metavar="NAME[:arg]", help="of a config, or its file")
  parser.add_argument("--copy", metavar="FILE", help="write the config file to FILE, a new one")


def _make_config(flags: argparse.Namespace) -> ConfigDict | None:
  return None if flags.name is None else load_config(flags.name)


def _work(request: Request) -> None:
  reference = request.options.config or request.options.name
  if request.options.copy is None:
    print(config_page(reference, request.config, request.defaults))
    return
  if changes := difference(request.defaults, request.config):
    key = changes[0].partition(":")[0]
    raise UserError(f"--copy copies the file as it is: found a change of {key}, expected none")
  name, arg = file_and_form(reference)
  copy = user_path(request.options.copy)
  _copy(Path(locate(name)), copy)
  print(f"copied {locate(name)} to {copy}; run it with --config={copy}{f':{arg}' if arg else ''}")


def _copy(source: Path, copy: Path) -> None:
  """Writes a new file; raises UserError where there is one, or where it cannot be written."""
  if copy.suffix != ".py":
    raise UserError(f"--copy: found '{copy}', expected a name that ends in .py")
  try:
    with copy.open("xb") as file:
      file.write(source.read_bytes())
  except FileExistsError as error:
    raise UserError(f"--copy: '{copy}' is there already, and is not overwritten") from error
  except OSError as error:
    raise UserError(f"--copy: cannot write '{copy}' ({error.strerror})") from error

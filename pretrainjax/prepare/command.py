"""The command line of `prepare`, and what it starts."""

import argparse
from collections.abc import Sequence

from ml_collections import ConfigDict

from pretrainjax.command import Request, launch
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.errors import UserError
from pretrainjax.prepare.config import data_dir_of, default_config, job_of
from pretrainjax.prepare.lookup import names
from pretrainjax.prepare.report import lines
from pretrainjax.prepare.run import prepare
from pretrainjax.prepare.stages.place import REPORT, folder_of, is_complete
from pretrainjax.untrusted import read_json


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that prepares a dataset; returns its exit status."""
  return launch(
    _work,
    verb="prepare",
    description="Write a dataset in the form that training reads.",
    argv=argv,
    add_flags=_add_flags,
    make_config=_make_config,
    needs_workdir=False,
  )


def _add_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "dataset", nargs="?", help=f"one of {', '.join(names())}, or package.module:Source"
  )
  parser.add_argument("--source", metavar="FOLDER", help="where the raw files lie; or one file")
  parser.add_argument("--name", help="of the dataset made from a folder or a log of one's own")
  parser.add_argument(
    "--fallback",
    choices=["digits"],
    help="prepare this one instead where the first is not to be had",
  )


def _make_config(flags: argparse.Namespace) -> ConfigDict | None:
  if flags.dataset is None:
    return None
  config = default_config(flags.dataset)
  for value, keys in ((flags.source, ("source", "root")), (flags.name, ("name",))):
    key = next((k for k in keys if k in config.source), None)
    if value is not None and key is None:
      raise UserError(f"prepare: '{flags.dataset}' takes no --{keys[0]}")
    if value is not None:
      config.source[key] = value
  return config


def _work(request: Request) -> None:
  try:
    _prepare(request.config)
  except UserError as error:
    fallback = request.options.fallback
    if fallback is None or not _has_images(request.config):
      raise
    print(f"prepare: {error}")
    print(f"prepare: FALLING BACK to {fallback}, a much smaller and easier set")
    config = default_config(fallback)
    config.data_dir = request.config.data_dir
    _prepare(config)


def _has_images(config: ConfigDict) -> bool:
  """Whether images are wanted, which digits could stand in for."""
  return job_of(config, allow=ANYTHING).preparation.noun == "image"


def _prepare(config: ConfigDict) -> None:
  name = job_of(config, allow=ANYTHING).source.name
  was_there = is_complete(folder_of(name, data_dir_of(config)))
  folder = prepare(config, allow=ANYTHING)
  if was_there:
    print(f"prepare: {folder} is there already; remove it to prepare it anew")
    return
  for line in lines(read_json(folder / REPORT, inside=folder), folder):
    print(line)

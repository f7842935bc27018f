"""What `export` does: from a run to a folder that other libraries load."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request, launch
from pretrainjax.config.allowed import add_allow_flag
from pretrainjax.errors import UserError, nearest
from pretrainjax.export.forms import FORMS, add_flags, write_form
from pretrainjax.user_path import user_path

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_DTYPES = ("float32", "bfloat16", "float16")


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that exports.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  jax.config.update("jax_platforms", "cpu")  # a trainer may be at work on the accelerators
  return launch(
    _work,
    verb="export",
    description="Write a run (--workdir=RUN[@STEP][:PART]) as a folder that transformers loads.",
    argv=argv,
    add_flags=_add_flags,
    make_config=lambda flags: ConfigDict(),
  )


def _add_flags(parser: argparse.ArgumentParser) -> None:
  add_allow_flag(parser)
  parser.add_argument("--out", metavar="DIR", help="the folder to make")
  parser.add_argument("--form", default="transformers", help=f"one of {', '.join(FORMS)}")
  parser.add_argument("--architecture", metavar="CLASS", help="of transformers; else the fullest")
  parser.add_argument("--dtype", default="float32", help=f"of weights: {', '.join(_DTYPES)}")
  parser.add_argument("--max_shard_size", default="5GB", help="of a file of weights (default: 5GB)")
  parser.add_argument("--weights", default="auto", help="auto, ema or online, as in load_encoder")
  parser.add_argument("--license", default="", help="of the weights, for the model card")
  parser.add_argument(
    "--check", action="store_true", help="load the result in the other library, compare outputs"
  )
  add_flags(parser)


def _work(request: Request) -> None:
  options, reference = request.options, Reference.parse(request.workdir)
  out, options.max_shard_size = _checked(options)
  print(write_form(out, reference, options=options))


def _checked(options: argparse.Namespace) -> tuple[Path, int]:
  if not options.out:
    raise UserError("--out: found nothing, expected a folder to make")
  weights = ("auto", "ema", "online")
  for name, choices in (("form", FORMS), ("dtype", _DTYPES), ("weights", weights)):
    if (found := getattr(options, name)) not in choices:
      raise UserError(f"--{name}: found '{found}'{nearest(found, choices)}")
  size = re.fullmatch(r"([0-9]{1,12})([KMG]B)?", options.max_shard_size)
  if size is None or int(size[1]) < 1:
    found = options.max_shard_size
    raise UserError(f"--max_shard_size: found '{found}', expected a size such as 5GB or 200MB")
  return user_path(options.out), int(size[1]) * _UNITS[size[2] or ""]

"""The output that the verbs of `benchmark` share."""

import argparse
import json
from pathlib import Path
from typing import Any

from pretrainjax.errors import UserError
from pretrainjax.user_path import user_path


def add_output_flags(parser: argparse.ArgumentParser) -> None:
  """Adds --json, the flag that all verbs have."""
  parser.add_argument("--json", type=user_path, metavar="FILE", help="write the numbers there too")


def write_json(path: Path | None, values: Any) -> None:
  """Writes plain values to a JSON file; does nothing where the path is None.

  Raises:
    UserError: where the file cannot be written.
  """
  if path is None:
    return
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n")
  except OSError as error:
    raise UserError(f"--json: cannot write to '{path}' ({error.strerror})") from error


def gib(count: int | float) -> str:
  """A number of bytes in GiB, as text without the unit.

  >>> gib(3 * 2**30), gib(2**20), gib(0)
  ('3.00', '<0.01', '0')
  """
  value = count / 2**30
  return f"{value:.2f}" if value >= 0.01 else "<0.01" if count else "0"

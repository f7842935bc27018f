"""Places where raw files can come from, tried one after another, and programs that fetch them."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from pretrainjax.errors import UserError

_SECONDS = 300


class Unavailable(Exception):
  """Raised by a place that has not got the data; the message says why."""


def first_of(places: Mapping[str, Callable[[], Path]], *, what: str, how: str) -> Path:
  """Returns the folder that the first of several places gives.

  Args:
    places: the places by name, in order; each gives a folder or raises Unavailable.
    what: the name of what is looked for, for the message.
    how: the way to get it, for the message.

  Raises:
    UserError: where none has it: each place with its reason, and `how`.
  """
  reasons = []
  for place, get in places.items():
    try:
      return get()
    except Unavailable as error:
      reasons.append(f"{place}: {' '.join(str(error).split())}")
  raise UserError(f"{what} was not found; tried {'; '.join(reasons)}. To get it: {how}")


def require(*tools: str) -> None:
  """Raises Unavailable where one of the programs is not on this machine."""
  for tool in tools:
    if shutil.which(tool) is None:
      raise Unavailable(f"no {tool} on this machine")


def run(command: list[str], folder: Path) -> None:
  """Runs a program in a folder.

  Raises:
    Unavailable: where it fails or takes minutes; with the end of what it said.
  """
  try:
    subprocess.run(
      command, cwd=folder, check=True, capture_output=True, text=True, timeout=_SECONDS
    )
  except subprocess.CalledProcessError as error:
    last = (error.stderr or error.stdout or "").strip().splitlines()[-2:]
    raise Unavailable(f"{command[0]} failed with {error.returncode}: {' '.join(last)}") from error
  except (OSError, subprocess.TimeoutExpired) as error:
    raise Unavailable(str(error)) from error

"""What an export is once it lies in its folder: its networks, how to load and how to check it."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.export.write import Written


class Made(NamedTuple):
  """What was written.

  Attributes:
    written: the networks in it.
    library: the name of the library that loads it, for the model card.
    uses: Python code that loads it, by what it needs.
    check: compares it with its networks, a line for each kind of input.
  """

  written: Written
  library: str
  uses: Mapping[str, str]
  check: Callable[[], str]


class Maker(Protocol):
  """A function that writes a run into a folder, but for its card."""

  def __call__(
    self, folder: Path, loaded: Loaded, *, reference: Reference, options: argparse.Namespace
  ) -> Made:
    """Writes the run.

    Args:
      folder: the folder, which is there.
      loaded: the run that was loaded.
      reference: the reference that the user typed.
      options: the flags of the command.
    """
    ...


def summary(written: Written, loaded: Loaded, out: Path) -> str:
  """The line that says what was written.

  Args:
    written: what was written.
    loaded: the run that it was made of.
    out: the folder that was made.
  """
  left = f"; not part of it: {', '.join(written.left)}" if written.left else ""
  left += f"; zeros, as ours has none: {', '.join(written.zeros)}" if written.zeros else ""
  count = f"{written.num_parameters:,} parameters"
  return f"{written.kind}, {count} of step {loaded.step} ({', '.join(written.held)}{left}): {out}"

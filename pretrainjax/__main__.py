"""The console script: `pretrainjax VERB ...`, which `python -m pretrainjax VERB ...` is too."""

from collections.abc import Sequence
from typing import NoReturn

from pretrainjax.process.ending import as_process


def script() -> NoReturn:
  """Runs the console script as a process of its own."""
  as_process(main)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that the first argument names.

  Args:
    argv: not used; the arguments are those of the process.

  Returns:
    The exit status.
  """
  del argv
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.command import main

  return main()


if __name__ == "__main__":
  script()

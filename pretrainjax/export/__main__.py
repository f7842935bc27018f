"""Writes a run for other libraries: `python -m pretrainjax.export --workdir=RUN --out=FOLDER`.

A process of its own, beside a trainer that goes on: it reads a saved step and leaves the run's
folder as it is. FOLDER appears when it is whole.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that exports.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.export.command import main

  return main(argv)


if __name__ == "__main__":
  as_process(main)

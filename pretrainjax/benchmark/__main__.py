"""Measures a config: `python -m pretrainjax.benchmark plan --config=FILE[:arg]`.

`plan` says what it needs of each device, `step` how fast it trains, `data` how fast examples come;
each has --help. The verb may stand anywhere.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a verb of `benchmark`.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.benchmark.command import main

  return main(argv)


if __name__ == "__main__":
  as_process(main)

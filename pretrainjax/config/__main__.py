"""Shows the configs that come with the package.

`pretrainjax configs [WORD ...]` lists them, `pretrainjax config NAME[:arg]` shows the values of
one, `pretrainjax config NAME --copy=FILE` makes a copy to be changed.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Shows or copies one config.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.config.command import main

  return main(argv)


if __name__ == "__main__":
  as_process(main)

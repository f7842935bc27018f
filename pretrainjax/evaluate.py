"""Evaluates a run: `python -m pretrainjax.evaluate --config=FILE --workdir=WORKDIR[@STEP]`.

Every number is stored with its protocol in WORKDIR/evaluation/results.jsonl (--out=DIR: there),
beside the same number of an encoder with random parameters.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that evaluates a trained encoder.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.measurement import main

  return main(argv)


if __name__ == "__main__":
  as_process(main)

"""Uses a run: `python -m pretrainjax.predict generate --workdir=WORKDIR[@STEP] --prompt=TEXT`.

Also `predict fill-mask`, `predict answer`, `predict transcribe`, `predict ngrams`, `predict
classify`, `predict recommend`, `predict similar-items` and `predict embed`; each has --help. They
need nothing but the run's folder, those of recommendation also the prepared set.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a verb of `predict` on a trained run.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.predict.command import main

  return main(argv)


if __name__ == "__main__":
  as_process(main)

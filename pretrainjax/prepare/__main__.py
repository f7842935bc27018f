"""Prepares a dataset: `python -m pretrainjax.prepare fashion_mnist --data_dir=DIR`.

Writes a tfds dataset of array_record files, and prepared.json beside it: what was written, what was
dropped and why. A folder of images, or of .txt, .jsonl and .parquet:
`python -m pretrainjax.prepare image_folder --source=FOLDER --name=pets --data_dir=DIR`,
`python -m pretrainjax.prepare text --source=FOLDER --name=books --data_dir=DIR`. A log of users and
items: `python -m pretrainjax.prepare interactions --source=FILE --name=shop --data_dir=DIR`. A
source of another package: `python -m pretrainjax.prepare package.module:Source --data_dir=DIR`.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that prepares a dataset.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.prepare.command import main

  return main(argv)


if __name__ == "__main__":
  as_process(main)

"""The progress bar of a long evaluation."""

import sys
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from pretrainjax.evaluators.base import Examples
from pretrainjax.process.distributed import is_main
from pretrainjax.types import Batch

# Seconds: before a bar is shown, and between two looks of it, on a terminal; and in a log.
_TERMINAL, _LOG = (2.0, 0.1), (30.0, 30.0)


def progress_bar(total: int, *, what: str, unit: str = " examples") -> tqdm:
  """Shows how far a measurement is, on the first process; one that is soon done shows nothing.

  Args:
    total: the number of units.
    what: what is made of them, "features".
    unit: the name of a unit.
  """
  delay, interval = _TERMINAL if sys.stderr.isatty() else _LOG
  return tqdm(
    total=total,
    desc=what,
    unit=unit,
    leave=False,
    disable=not is_main(),
    delay=delay,
    mininterval=interval,
  )


def batches_of(
  data: Examples, *, what: str, batches: Iterable[Batch] | None = None
) -> Iterator[Batch]:
  """One pass over a dataset with a progress bar.

  Args:
    data: the dataset that is read.
    what: what is made of its examples, "tags".
    batches: the batches of the pass; None takes those of `one_pass`.
  """
  with progress_bar(data.num_examples, what=what) as bar:
    for batch in data.one_pass() if batches is None else batches:
      yield batch
      bar.update(int(batch["valid"].sum()) if "valid" in batch else 0)

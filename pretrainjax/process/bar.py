"""The progress bar of long work, for a person: on a terminal, in a log, on one process."""

import sys

from tqdm import tqdm

from pretrainjax.process.distributed import is_main

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

"""Prints the fault matrix: `python tests/faults/table.py TRIALS`, which `make faults` calls.

Ends with 1 where a trial was not survived, or a row of the matrix has none.
"""

import argparse
import collections
import json
import statistics
import sys
from pathlib import Path

# One file a row.
ROWS = sorted(int(path.name[5:7]) for path in Path(__file__).parent.glob("test_[0-9][0-9]_*.py"))
# Rows of the matrix that nothing here can meet yet.
NOT_YET: dict[int, str] = {}


def main() -> int:
  """Prints the table; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("trials", type=Path, help="JSON lines, from pytest --trials=FILE")
  trials = [json.loads(x) for x in parser.parse_args().trials.read_text().splitlines()]
  by_row = collections.defaultdict(list)
  for trial in trials:
    by_row[trial["row"]].append(trial)
  print(
    "| # | fault | trials | survived | steps lost, at most | seconds to recover, median (most) |"
  )
  print("|---|---|---|---|---|---|")
  for row in sorted(by_row | NOT_YET):
    nothing = f"| {row} | {NOT_YET.get(row)} | 0 | - | - | - |"
    print(line(row, by_row[row]) if row in by_row else nothing)
  missing = [row for row in ROWS if row not in by_row and row not in NOT_YET]
  failed = [trial["test"] for trial in trials if not trial["survived"]]
  print(f"\n{len(trials)} trials, {len(trials) - len(failed)} survived")
  if failed:
    print(f"not survived: {', '.join(failed)}")
  if missing:
    print(f"rows without a trial: {', '.join(map(str, missing))}")
  return 1 if failed or missing else 0


def line(row: int, trials: list[dict]) -> str:
  """One row of the table."""
  lost = [t["lost_steps"] for t in trials if t["lost_steps"] is not None]
  seconds = [t["seconds"] for t in trials if t["seconds"] is not None]
  took = f"{statistics.median(seconds):.1f} ({max(seconds):.1f})" if seconds else "-"
  cells = (
    row,
    trials[0]["fault"],
    len(trials),
    sum(t["survived"] for t in trials),
    max(lost) if lost else "-",
    took,
  )
  return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
  sys.exit(main())

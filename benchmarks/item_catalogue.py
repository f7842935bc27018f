"""Time and memory of a step of eSASRec by the size of the catalogue: 10,000 items to a million.

  python benchmarks/item_catalogue.py [--items=10000,100000,1000000] [--flags="--steps=5"]

Each size is a `pretrainjax benchmark step` on noise in a process of its own, which gives the memory
that XLA plans for the step and the most that the process held. Sampled softmax against 256 drawn
items: what grows with the catalogue is the table, its gradient and Adam's two moments.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pretrainjax.report.table import markdown_table  # noqa: E402

HEADER = ("items", "parameters", "planned", "peak of the process", "median step")


class Row(NamedTuple):
  """What one size cost.

  Attributes:
    items: of the catalogue.
    state: bytes of parameters, of which Adam holds twice as many beside.
    planned: bytes of the compiled step, its arguments among them.
    peak: bytes that the process held at most.
    seconds: of the median step.
  """

  items: int
  state: int
  planned: int
  peak: int
  seconds: float


def measured(items: int, flags: list[str]) -> Row:
  """Runs the verb for one size."""
  with tempfile.TemporaryDirectory() as folder:
    out = Path(folder) / "step.json"
    command = [sys.executable, "-m", "pretrainjax", "benchmark", "step"]
    command += ["--config=esasrec_interactions", "--synthetic", f"--json={out}"]
    command += [f"--config.objective.backbone.num_items={items}", *flags]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
      raise SystemExit(f"{' '.join(command)}: exit status {running.returncode}")
    found = json.loads(out.read_text())
  memory, seconds = found["memory"], sorted(found["seconds"])
  middle = seconds[len(seconds) // 2]
  return Row(items, memory["params"], memory["total"], usage.ru_maxrss * 1024, middle)


def table(rows: list[Row]) -> str:
  """The rows as a Markdown table, in GB of 10^9 bytes."""
  cells = [
    (
      f"{row.items:,}",
      *(f"{size / 1e9:.2f} GB" for size in (row.state, row.planned, row.peak)),
      f"{row.seconds:.2f} s",
    )
    for row in rows
  ]
  return markdown_table(HEADER, cells, right=range(len(HEADER)))


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--items", default="10000,100000,1000000", metavar="N,N")
  parser.add_argument("--flags", default="", help="of `benchmark step`, such as --steps=5")
  options = parser.parse_args()
  sizes = [int(size) for size in options.items.split(",")]
  print(table([measured(size, options.flags.split()) for size in sizes]))
  return 0


if __name__ == "__main__":
  sys.exit(main())

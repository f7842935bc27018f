"""Peak memory and files a second of `prepare image_folder`, by the number of files.

  python benchmarks/prepare_images.py --counts 20000 200000

Makes that many small PNG files of noise in 100 classes in a temporary folder, prepares them in a
process of its own, and asks the system for that process's peak memory (with whatever it started).
The time is that of the whole process, its imports included; making the files is not in it. Where
memory does not grow with files, all rows have about the same.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
CLASSES = 100
# Runs a command and prints the most kilobytes that it held. In a process of its own, since a
# process begins with the peak of the one that starts it, which may be large.
_MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def main() -> None:
  """Prints one row a count."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--counts", type=int, nargs="+", default=[20_000, 200_000])
  parser.add_argument("--size", type=int, default=16, help="pixels of a side")
  parser.add_argument("--folder", help="for the files, instead of the system's temporary one")
  flags = parser.parse_args()
  print(f"{'files':>10} {'made in s':>10} {'prepared in s':>14} {'files/s':>9} {'peak MiB':>9}")
  for count in flags.counts:
    with tempfile.TemporaryDirectory(prefix="prepare_images_", dir=flags.folder) as temporary:
      start = time.monotonic()
      make(Path(temporary) / "raw", count, flags.size)
      made = time.monotonic() - start
      seconds, peak = prepare(Path(temporary))
    row = f"{count:>10,} {made:>10.1f} {seconds:>14.1f} {count / seconds:>9,.0f} {peak:>9.0f}"
    print(row, flush=True)


def make(root: Path, count: int, size: int) -> None:
  """Writes ROOT/class/NUMBER.png, all of them different."""
  rng = np.random.default_rng(0)
  for label in range(CLASSES):
    (root / f"{label:02d}").mkdir(parents=True)
  for i in range(count):
    _, data = cv2.imencode(".png", rng.integers(0, 256, (size, size, 3), np.uint8))
    (root / f"{i % CLASSES:02d}" / f"{i:07d}.png").write_bytes(data)


def prepare(folder: Path) -> tuple[float, float]:
  """Prepares FOLDER/raw; returns seconds and the peak of resident memory in MiB."""
  command = [sys.executable, "-m", "pretrainjax.prepare", "image_folder", "--name=noise"]
  command += [f"--source={folder / 'raw'}", f"--data_dir={folder / 'data'}"]
  start = time.monotonic()
  done = subprocess.run(
    [sys.executable, "-c", _MEASURE, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
  )
  seconds = time.monotonic() - start
  if done.returncode != 0:
    raise SystemExit(f"prepare ended with {done.returncode}")
  return seconds, int(done.stdout.splitlines()[-1]) / 1024


if __name__ == "__main__":
  main()

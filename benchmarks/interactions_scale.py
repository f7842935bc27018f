"""Events a second and peak memory of `prepare interactions` on a generated log, and of resuming it.

  python benchmarks/interactions_scale.py --events 20000000 --users 200000 --items 1000000

Writes a log in .parquet: items by a power law, users by a milder one, times that grow with noise,
so that the log is not sorted. Prepares it in a process of its own, and asks the system for that
process's peak memory, and for its own time on the processor, which tells more where others work on
the machine, too. Both times are those of the whole process, its imports included; making the log is
not in them. With --stop_after a second run is killed after so many seconds and started again: the
digests of its records must be those of the first.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

ROOT = Path(__file__).parents[1]
_BLOCK = 1 << 20  # events that are made at once
# Runs a command and prints the most kilobytes that it held. In a process of its own, since a
# process begins with the peak of the one that starts it, which may be large.
_MEASURE = """
import resource, subprocess, sys
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
status = subprocess.run(sys.argv[1:], **quiet).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
sys.exit(status)
"""


class Taken(NamedTuple):
  """What a run took: seconds, seconds on the processor, and MiB of memory at its peak."""

  seconds: float
  processor: float
  peak: float


def main() -> None:
  """Prints what it made, and what preparing it took."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--events", type=int, default=20_000_000)
  parser.add_argument("--users", type=int, default=200_000)
  parser.add_argument("--items", type=int, default=1_000_000)
  parser.add_argument("--stop_after", type=float, help="seconds until a second run is killed")
  parser.add_argument("--folder", help="for the files, instead of the system's temporary one")
  flags = parser.parse_args()
  with tempfile.TemporaryDirectory(prefix="interactions_", dir=flags.folder) as temporary:
    log, start = Path(temporary) / "log.parquet", time.monotonic()
    make(log, events=flags.events, users=flags.users, items=flags.items)
    size, seconds = log.stat().st_size / 2**20, time.monotonic() - start
    print(f"made           {flags.events:,} events, {size:.0f} MiB, in {seconds:.1f} s", flush=True)
    taken = prepare(log, Path(temporary) / "whole")
    report = report_of(Path(temporary) / "whole")
    left = f"{report['num_events']:,} events of {report['num_users']:,} users with "
    print(f"left           {left}{report['num_items']:,} items")
    rates = (f"{flags.events / spent:,.0f}" for spent in taken[:2])
    print(
      f"prepared       in {taken.seconds:.1f} s, {taken.processor:.1f} s of them on a processor"
    )
    print(f"events/s       {' and '.join(rates)}; peak {taken.peak:.0f} MiB", flush=True)
    if flags.stop_after is not None:
      stop(log, Path(temporary) / "stopped", flags.stop_after)
      taken = prepare(log, Path(temporary) / "stopped")
      digests = report_of(Path(temporary) / "stopped")["record_digests"]
      told = "the same" if digests == report["record_digests"] else "OTHER"
      after = f"after {flags.stop_after:g} s"
      print(f"resumed        {after}: {taken.processor:.1f} s on a processor, {told} records")


def make(path: Path, *, events: int, users: int, items: int) -> None:
  """Writes a log of columns user_id, item_id and timestamp.

  Args:
    path: the path of the .parquet.
    events: the number of rows.
    users: the most users, of whom a few have many events.
    items: the most items; one's share falls as 1 / its place among all.
  """
  rng = np.random.default_rng(0)
  schema = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())]
  )
  names = pa.array([f"item{number:07d}" for number in rng.permutation(items)])
  with parquet.ParquetWriter(path, schema) as writer:
    for start in range(0, events, _BLOCK):
      count = min(_BLOCK, events - start)
      user = (users * rng.random(count) ** 1.5).astype(np.int64)
      item = np.minimum(np.exp(rng.random(count) * np.log(items + 1)) - 1, items - 1)
      when = 1_500_000_000 + (start + np.arange(count)) // 4 + rng.integers(0, 86_400, count)
      columns = [pa.array(user).cast(pa.string()), names.take(pa.array(item.astype(np.int64)))]
      writer.write_table(pa.table([*columns, pa.array(when)], schema=schema))


def command(log: Path, data_dir: Path) -> list[str]:
  """The command that prepares a log."""
  made = [sys.executable, "-m", "pretrainjax.prepare", "interactions", "--name=made"]
  return [*made, f"--source={log}", f"--data_dir={data_dir}"]


def prepare(log: Path, data_dir: Path) -> Taken:
  """Prepares a log, or goes on with it."""
  start = time.monotonic()
  measured = [sys.executable, "-c", _MEASURE, *command(log, data_dir)]
  done = subprocess.run(measured, cwd=ROOT, stdout=subprocess.PIPE, text=True)
  seconds = time.monotonic() - start
  if done.returncode != 0:
    raise SystemExit(f"prepare ended with {done.returncode}")
  peak, processor = map(float, done.stdout.splitlines()[-1].split())
  return Taken(seconds, processor, peak / 1024)


def stop(log: Path, data_dir: Path, seconds: float) -> None:
  """Starts to prepare a log, and kills it."""
  silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
  with subprocess.Popen(command(log, data_dir), cwd=ROOT, **silent) as process:
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)


def report_of(data_dir: Path) -> dict:
  """What prepared.json says of the set."""
  return json.loads((data_dir / "made/1.0.0/prepared.json").read_text())


if __name__ == "__main__":
  main()

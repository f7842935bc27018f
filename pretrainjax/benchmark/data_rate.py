"""Measures how fast the data pipeline is, without training: `benchmark data --config=FILE`."""

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

from pretrainjax.benchmark.output import add_output_flags, write_json
from pretrainjax.command import Request
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.config.objects import build
from pretrainjax.data.buckets import Padding
from pretrainjax.errors import UserError
from pretrainjax.report.table import markdown_table
from pretrainjax.train.open_values import fill_in
from pretrainjax.untrusted import BadFile, read_json
from pretrainjax.user_path import user_path


class Rate(NamedTuple):
  """The measured speed of the data pipeline with one number of threads.

  Attributes:
    num_threads: the number of threads that read, unpack and transform.
    examples_per_second: the number of examples that came in a second.
    megabytes_per_second: the size of the batches that came in a second, in units of 10**6 bytes.
    first_seconds: seconds until the first batch was there, with what is read once.
  """

  num_threads: int
  examples_per_second: float
  megabytes_per_second: float
  first_seconds: float


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `benchmark data`."""
  parser.add_argument("--threads", metavar="N,N,...", help="numbers of threads; the config's too")
  parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="for each number")
  parser.add_argument(
    "--step_json", type=user_path, metavar="FILE", help="of `benchmark step`: what training needs"
  )
  add_output_flags(parser)


def work(request: Request) -> None:
  """Runs `benchmark data`: measures the rates and prints them."""
  options = request.options
  if options.seconds <= 0:
    raise UserError(f"--seconds: found {options.seconds}, expected above 0")
  if "data" not in request.config:
    raise UserError("--config: get_config() sets no 'data'")
  needed = None if options.step_json is None else needed_rate(options.step_json)
  filled = fill_in(request.config, only="data", allow=ANYTHING)
  data = build(filled.data, path="config.data", allow=ANYTHING)
  data.sources  # noqa: B018  a mistake should be told before the bar is drawn
  rates = []
  threads = thread_counts(options.threads, data.num_threads)
  for count in tqdm(threads, unit="setting", file=sys.stderr, disable=None):
    rates.append(measure_rate(data, num_threads=count, seconds=options.seconds))
  print(rates_text(rates, needed=needed, batch_size=data.batch_size))
  if data.padding is not None:
    print(_padding_text(data.padding))
  values = {
    "cpus": os.cpu_count(),
    "batch_size": data.batch_size,
    "needed_examples_per_second": needed,
    "rates": [rate._asdict() for rate in rates],
    "padding": None if data.padding is None else data.padding._asdict(),
  }
  write_json(options.json, values)


def _padding_text(padding: Padding) -> str:
  """The padding of rows of several lengths, in one line.

  >>> _padding_text(Padding((16, 64), 0.125, 0.5))
  'rows of 16 and 64: 12.5% padding, with one length 50.0%'
  """
  lengths = " and ".join(map(str, padding.lengths))
  return (
    f"rows of {lengths}: {padding.share:.1%} padding, with one length {padding.share_of_one:.1%}"
  )


def thread_counts(text: str | None, configured: int) -> list[int]:
  """Numbers of threads to try: those of the flag, else powers of two up to the processors.

  >>> thread_counts("1,4", 2)
  [1, 2, 4]
  """
  if text is None:
    counts = {2**i for i in range((os.cpu_count() or 1).bit_length())}
  else:
    try:
      counts = {int(part) for part in text.split(",")}
    except ValueError:
      counts = {0}
    if min(counts) < 1:
      raise UserError(f"--threads: found '{text}', expected numbers from 1 on, such as 1,2,4")
  return sorted(counts | {configured})


def measure_rate(data: Any, *, num_threads: int, seconds: int | float) -> Rate:
  """Measures how fast batches come once the first are there, drawn as training draws them.

  Args:
    data: the data of the run, built from config.data.
    num_threads: the number of threads, in place of the config's.
    seconds: the least time to measure for, above 0.
  """
  data = dataclasses.replace(data, num_threads=num_threads)
  start = time.perf_counter()
  with contextlib.closing(data.batches(seed=0)) as batches:
    next(batches)
    first = time.perf_counter() - start
    # What was made ahead meanwhile is nobody's rate.
    for _ in range(3):
      next(batches)
    count, size, begin = 0, 0, time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds:
      batch = next(batches)
      count += len(next(iter(batch.values())))
      size += sum(x.nbytes for x in batch.values())
      now = time.perf_counter()
  elapsed = now - begin
  return Rate(num_threads, count / elapsed, size / elapsed / 1e6, first)


def needed_rate(path: Path) -> float:
  """The examples/s that this process's devices take, from the JSON of `benchmark step`.

  Raises:
    UserError: for a file that is no such JSON.
  """
  try:
    return read_json(path)["examples_per_second"] / jax.process_count()
  except (BadFile, KeyError, TypeError) as error:
    raise UserError(
      f"--step_json: '{path}' is not what `benchmark step --json={path}` writes "
      f"({type(error).__name__})"
    ) from error


def rates_text(rates: list[Rate], *, needed: int | float | None, batch_size: int) -> str:
  """The rates as a table, beside what training needs.

  Args:
    rates: the measurements, one a number of threads.
    needed: examples/s that training takes; None where not known.
    batch_size: examples of a batch.
  """
  header = ("threads", "examples/s", "MB/s", "first batch", "of what a step needs")
  body = [
    (
      str(rate.num_threads),
      f"{rate.examples_per_second:.4g}",
      f"{rate.megabytes_per_second:.4g}",
      f"{rate.first_seconds:.2f} s",
      "-" if needed is None else f"{rate.examples_per_second / needed:.2f} x",
    )
    for rate in rates
  ]
  lines = [markdown_table(header, body, right=range(5)), ""]
  lines.append(f"batches of {batch_size} examples, decoded and transformed; {os.cpu_count()} CPUs")
  if needed is not None:
    enough = [r.num_threads for r in rates if r.examples_per_second >= needed]
    lines.append(
      f"a step takes {needed:.4g} examples/s: "
      + (f"{enough[0]} threads are enough" if enough else "no number of threads is enough here")
    )
  return "\n".join(lines)

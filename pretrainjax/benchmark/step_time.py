"""Measures the time of a training step: `benchmark step --config=FILE [--synthetic]`."""

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from pretrainjax.benchmark.batches import noise_batch
from pretrainjax.benchmark.collectives import by_kind, read_collectives, wire_bytes
from pretrainjax.benchmark.compiled import Step, compile_step, memory_of
from pretrainjax.benchmark.mesh_report import STAND_IN_EXAMPLES
from pretrainjax.benchmark.output import add_output_flags, gib, write_json
from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.command import Request
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.errors import UserError
from pretrainjax.report.table import markdown_table
from pretrainjax.train.assemble import Run, assemble
from pretrainjax.train.flops import model_flops_utilization


@dataclasses.dataclass(frozen=True)
class StepTimes:
  """The measured time, memory and exchanges of a training step.

  Attributes:
    device: the kind of the devices.
    num_devices: the number of devices that took part.
    batch_size: the examples of a step, over all devices.
    compile_seconds: the seconds that compiling the step took.
    seconds: the seconds of each step that was timed.
    counts: what a step's batch holds, by unit, such as "tokens".
    flops: the FLOPs of a step on one device.
    mfu: the share of the chip's peak, in [0, 1]; None where that is not known.
    memory: bytes by the names of `compiled.Memory`, and "total".
    peak_bytes: the most bytes held at once on the fullest device; None where the backend does not
      say.
    collectives: the exchanges of a step by kind, see `by_kind`.
    wire_bytes: the bytes that a device sends in a step.
  """

  device: str
  num_devices: int
  batch_size: int
  compile_seconds: float
  seconds: tuple[float, ...]
  counts: dict[str, int | float]
  flops: float
  mfu: float | None
  memory: dict[str, int]
  peak_bytes: int | None
  collectives: dict[str, dict[str, int | float]]
  wire_bytes: float

  @property
  def quartiles(self) -> tuple[float, float, float]:
    """The first quartile, the median and the third quartile of `seconds`."""
    low, median, high = np.quantile(self.seconds, (0.25, 0.5, 0.75))
    return float(low), float(median), float(high)

  @property
  def examples_per_second(self) -> float:
    """The examples/s of all devices together, by the median step."""
    return self.batch_size / self.quartiles[1]


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `benchmark step`."""
  parser.add_argument("--steps", type=int, default=20, metavar="N", help="that are timed")
  parser.add_argument("--warmup", type=int, default=3, metavar="N", help="before, not timed")
  parser.add_argument("--synthetic", action="store_true", help="noise; no dataset is needed")
  add_output_flags(parser)


def work(request: Request) -> None:
  """Runs `benchmark step`: times the step and prints the measurement."""
  options = request.options
  for name, low in (("steps", 1), ("warmup", 0)):
    if getattr(options, name) < low:
      raise UserError(f"--{name}: found {getattr(options, name)}, expected at least {low}")
  config = request.config.copy_and_resolve_references()
  config.evals = ConfigDict()
  num_examples = STAND_IN_EXAMPLES if options.synthetic else None
  facts = StandIn(config) if options.synthetic else None
  run = assemble(config, num_examples=num_examples, prepared=facts, allow=ANYTHING)
  with _batches(run, synthetic=options.synthetic) as next_batch:
    times = time_steps(run, next_batch, steps=options.steps, warmup=options.warmup)
  if jax.process_index() == 0:
    print(times_text(times))
    write_json(options.json, times_json(times))


def time_steps(
  run: Run, next_batch: Callable[[], dict[str, np.ndarray]], *, steps: int, warmup: int
) -> StepTimes:
  """Times steps from a new state, each from its start until its loss is there.

  Args:
    run: the run that is measured, built from its config.
    next_batch: a function that gives this process's rows; neither its time nor that of sending them
      to the devices counts.
    steps: the number of steps that are timed, at least 1.
    warmup: the number of steps before them, at least 0.
  """
  state = run.parallel.make(run.init, run.abstract_state)
  batch = next_batch()
  parts = run.parallel.share(run.data.batch_size)[1]
  counts = {unit: n * parts for unit, n in run.data.count(batch).items()}
  batch = run.parallel.put(batch)
  step = compile_step(run, state, batch)
  memory = memory_of(step, state)
  seconds = []
  quiet = None if jax.process_index() == 0 else True  # None: where it is no terminal
  for number in tqdm(range(warmup + steps), unit="step", file=sys.stderr, disable=quiet):
    jax.block_until_ready(batch)
    start = time.perf_counter()
    state, metrics = step.compiled(state, batch)
    jax.block_until_ready(metrics["loss"])
    seconds.append(time.perf_counter() - start)
    if number + 1 < warmup + steps:
      batch = run.parallel.put(next_batch())
  return _times(run, step, memory=memory, counts=counts, seconds=seconds[warmup:])


def times_text(times: StepTimes) -> str:
  """The measurement as a table for a person."""
  low, median, high = times.quartiles
  rows = [
    ("devices", f"{times.num_devices} x {times.device}"),
    ("batch", f"{times.batch_size} examples over all devices"),
    ("compile time", f"{times.compile_seconds:.1f} s"),
    (
      "step time",
      f"{median:.4g} s (quartiles {low:.4g} to {high:.4g}, {len(times.seconds)} steps)",
    ),
    ("examples", f"{times.examples_per_second:.4g} / s"),
  ]
  for unit, count in times.counts.items():
    rows.append((unit, f"{count / median:.4g} / s"))
  rows += [
    ("TFLOP/s a device", f"{times.flops / median / 1e12:.4g}"),
    ("MFU", "peak of this device not known" if times.mfu is None else f"{times.mfu:.1%}"),
    ("memory, compiled", f"{gib(times.memory['total'])} GiB a device"),
    ("memory, peak", "-" if times.peak_bytes is None else f"{gib(times.peak_bytes)} GiB a device"),
    ("sent a step", f"{times.wire_bytes / 1e6:.4g} MB a device"),
  ]
  for kind, row in times.collectives.items():
    rows.append((f"  {kind}", f"{row['count']:.0f} times, {row['wire_bytes'] / 1e6:.4g} MB"))
  return markdown_table(("what", "measured"), rows)


def times_json(times: StepTimes) -> dict[str, Any]:
  """The measurement as plain values for a JSON file."""
  low, median, high = times.quartiles
  return dataclasses.asdict(times) | {
    "seconds_quartiles": [low, median, high],
    "examples_per_second": times.examples_per_second,
    **{f"{unit}_per_second": count / median for unit, count in times.counts.items()},
  }


def _times(
  run: Run, step: Step, *, memory: Any, counts: dict[str, int | float], seconds: Sequence[float]
) -> StepTimes:
  exchanges = read_collectives(step.text)
  return StepTimes(
    device=jax.devices()[0].device_kind,
    num_devices=jax.device_count(),
    batch_size=run.data.batch_size,
    compile_seconds=step.compile_seconds,
    seconds=tuple(seconds),
    counts=counts,
    flops=step.flops,
    mfu=model_flops_utilization(step.flops, float(np.median(seconds))),
    memory=dataclasses.asdict(memory) | {"total": memory.total},
    peak_bytes=_peak_bytes(),
    collectives=by_kind(exchanges),
    wire_bytes=wire_bytes(exchanges),
  )


def _peak_bytes() -> int | None:
  """The most bytes held at once on one of this process's devices since it began."""
  stats = [device.memory_stats() or {} for device in jax.local_devices()]
  peaks = [s["peak_bytes_in_use"] for s in stats if "peak_bytes_in_use" in s]
  return max(peaks, default=None)


@contextlib.contextmanager
def _batches(run: Run, *, synthetic: bool) -> Iterator[Callable[[], dict[str, np.ndarray]]]:
  """A function that gives this process's rows of the next batch."""
  index, count = run.parallel.share(run.data.batch_size)
  if synthetic:
    batch = noise_batch(run.data, run.config.objective)
    rows = run.data.batch_size // count
    part = {name: x[index * rows : (index + 1) * rows] for name, x in batch.items()}
    yield lambda: part
    return
  if run.data.padding is not None:
    raise UserError(
      "--config.data.buckets: found several lengths of rows, whose steps differ in time, expected 1"
    )
  batches = run.data.batches(seed=run.config.seed, process_index=index, process_count=count)
  with contextlib.closing(batches):
    yield lambda: next(batches)

"""The progress of a run: its speed, the time that is left, and the share of waiting for data."""

import collections
import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import tqdm

from pretrainjax.process.distributed import is_main
from pretrainjax.train.flops import model_flops_utilization

_PER_SECOND = "_per_second"


class Meter:
  """Rates over an interval. The first step only starts the clock: it may compile and warm up."""

  def __init__(
    self,
    *,
    batch_size: int,
    flops: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
  ):
    """Makes a meter of steps that have not begun.

    Args:
      batch_size: examples of one step, over all devices and hosts.
      flops: the FLOPs of one step on one device, for the MFU; None where not known.
      clock: a function that gives the time in seconds.
    """
    self._batch_size, self.flops, self._clock = batch_size, flops, clock
    self._start = self._now = None
    self._steps, self._excluded = 0, 0.0
    self._counts: collections.Counter[str] = collections.Counter()
    self._waited = self._waited_at_start = 0.0

  def step(
    self, *, data_wait_seconds: float = 0.0, counts: Mapping[str, int | float] | None = None
  ) -> None:
    """Notes that a step is finished.

    Args:
      data_wait_seconds: how long the run has waited for data since it began, all in all.
      counts: what the step's batch holds, over all devices and hosts, by unit ("tokens"); None
        counts examples alone.
    """
    self._now, self._waited = self._clock(), data_wait_seconds
    if self._start is None:
      self._restart()
    else:
      self._steps += 1
      self._counts.update(counts or {})

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what is done inside, evaluation for example, out of the rates."""
    start = self._clock()
    try:
      yield
    finally:
      if self._start is not None:
        self._excluded += self._clock() - start

  def rates(self) -> dict[str, float]:
    """The rates since the last call, up to the last step; {} before there is a whole step."""
    if not self._steps:
      return {}
    seconds = max(self._now - self._start - self._excluded, 1e-9)
    step_seconds = seconds / self._steps
    rates = {
      "perf/step_seconds": step_seconds,
      "perf/examples_per_second": self._batch_size / step_seconds,
      "perf/waiting": min((self._waited - self._waited_at_start) / seconds, 1.0),
    }
    for unit, count in self._counts.items():
      if count and count != self._batch_size * self._steps:  # examples by another name
        rates[f"perf/{unit}_per_second"] = count / seconds
    mfu = model_flops_utilization(self.flops, step_seconds)
    self._restart()
    return rates if mfu is None else rates | {"perf/mfu": mfu}

  def _restart(self) -> None:
    self._start, self._steps, self._excluded = self._now, 0, 0.0
    self._counts.clear()
    self._waited_at_start = self._waited


class Progress:
  """A progress bar on a terminal, a plain line now and then elsewhere, on the first process."""

  def __init__(
    self,
    *,
    start: int,
    total: int,
    batch_size: int,
    flops: float | None = None,
    every: float = 30.0,
    stream: io.TextIOBase | None = None,
    clock: Callable[[], float] = time.perf_counter,
  ):
    """Begins to show the progress of a run.

    Args:
      start: the step that the run goes on from.
      total: the last step of the run.
      batch_size: examples of one step, over all devices and hosts.
      flops: the FLOPs of one step on one device, for the MFU; None where not known.
      every: seconds between two plain lines.
      stream: the stream to write to; standard error by default.
      clock: a function that gives the time in seconds.
    """
    self._meter = Meter(batch_size=batch_size, flops=flops, clock=clock)
    self._stream, self._clock, self._every = stream or sys.stderr, clock, every
    self._total, self._step, self._text = total, start, ""
    self._first: tuple[int, float] | None = None  # step and time that the ETA counts from
    self._last_line, self._printed = -float("inf"), None
    self._rates: dict[str, float] = {}
    self._silent = not is_main()
    self._bar = None
    if not self._silent and self._stream.isatty():
      self._bar = tqdm.tqdm(
        total=total, initial=start, unit="step", file=self._stream, dynamic_ncols=True
      )

  def set_flops(self, flops: float) -> None:
    """Sets the FLOPs of one step on one device, once the step is known."""
    self._meter.flops = flops

  def step(
    self,
    step: int,
    *,
    data_wait_seconds: float = 0.0,
    counts: Mapping[str, int | float] | None = None,
  ) -> None:
    """Notes that `step` is finished; see `Meter.step`."""
    self._meter.step(data_wait_seconds=data_wait_seconds, counts=counts)
    self._step = step
    self._first = self._first or (step, self._clock())
    if self._bar is not None:
      self._bar.update(step - self._bar.n)
    elif self._text and self._clock() - self._last_line >= 2 * self._every:
      self._print()  # `show` comes too rarely

  def rates(self) -> dict[str, float]:
    """Names and values for the log since the last call, all starting with "perf/"."""
    rates = self._meter.rates()
    self._rates = rates or self._rates
    return rates

  def show(self, values: Mapping[str, float]) -> None:
    """Shows the loss among `values` and the newest rates, from now on."""
    parts = [f"loss {values['loss']:.4g}"] if "loss" in values else []
    rates = self._rates
    if rates:
      for name, rate in rates.items():
        if name.endswith(_PER_SECOND):
          unit = name.removeprefix("perf/").removesuffix(_PER_SECOND)
          parts += [f"{rate:.4g} {unit}/s"]
      parts += [f"waiting {rates['perf/waiting']:.0%}"]
    if "perf/mfu" in rates:
      parts += [f"MFU {rates['perf/mfu']:.1%}"]
    self._text = ", ".join(parts)
    if self._bar is not None:
      self._bar.set_postfix_str(self._text)
    elif self._clock() - self._last_line >= self._every:
      self._print()

  def paused(self) -> contextlib.AbstractContextManager[None]:
    """Leaves what is done inside out of the rates."""
    return self._meter.paused()

  def close(self) -> None:
    """Shows the last step, and ends the bar."""
    if self._bar is not None:
      self._bar.close()
    elif self._text and self._printed != (self._step, self._text):
      self._print()

  def _print(self) -> None:
    self._last_line, self._printed = self._clock(), (self._step, self._text)
    if self._silent:
      return
    share = self._step / max(self._total, 1)
    line = f"step {self._step}/{self._total} ({share:.0%}), {self._text}{self._eta()}"
    print(line, file=self._stream, flush=True)

  def _eta(self) -> str:
    first, since = self._first or (self._step, 0.0)
    if self._step <= first:
      return ""
    left = (self._clock() - since) / (self._step - first) * (self._total - self._step)
    return f", ETA {timedelta(seconds=round(left))}"

"""Rates, the bar and the plain lines, with a clock in hand."""

import io
import re

import pytest

from pretrainjax.train import progress as progress_lib
from pretrainjax.train.progress import Meter, Progress


class Clock:
  now = 0.0

  def __call__(self):
    return self.now


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_rates_leave_out_the_first_step_and_pauses(monkeypatch):
  monkeypatch.setattr(
    progress_lib, "model_flops_utilization", lambda flops, seconds: flops * seconds
  )
  clock = Clock()
  meter = Meter(batch_size=8, flops=10.0, clock=clock)
  with meter.paused():
    clock.now += 50
  clock.now += 100  # compiles
  meter.step(data_wait_seconds=90.0)
  assert meter.rates() == {}
  for i in range(1, 5):
    clock.now += 2
    meter.step(data_wait_seconds=90.0 + i * 0.5)
  with meter.paused():
    clock.now += 1000
  clock.now += 2
  meter.step(data_wait_seconds=92.5)
  clock.now += 30  # after the last step: belongs to the next interval
  assert meter.rates() == pytest.approx(
    {
      "perf/step_seconds": 2.0,
      "perf/examples_per_second": 4.0,
      "perf/waiting": 0.25,
      "perf/mfu": 20.0,
    }
  )
  assert meter.rates() == {}
  clock.now += 10
  meter.step(data_wait_seconds=92.5)
  assert meter.rates()["perf/step_seconds"] == pytest.approx(40)


def test_tokens_per_second():
  clock, stream = Clock(), io.StringIO()
  progress = Progress(start=0, total=9, batch_size=4, stream=stream, clock=clock)
  for step, tokens in enumerate([500, 30, 10], start=1):
    clock.now += 2
    progress.step(step, counts={"tokens": tokens})
  assert progress.rates()["perf/tokens_per_second"] == pytest.approx(40 / 4)
  progress.show({"loss": 1.0})
  assert "2 examples/s, 10 tokens/s, waiting 0%" in stream.getvalue()
  clock.now += 2
  progress.step(4, counts={"tokens": 8})
  assert progress.rates()["perf/tokens_per_second"] == pytest.approx(8 / 2)
  progress.step(5)
  assert "perf/tokens_per_second" not in progress.rates()


def test_every_unit_has_a_rate_unless_it_is_the_examples():
  clock = Clock()
  meter = Meter(batch_size=8, clock=clock)
  for images in (8, 8, 8):
    meter.step(counts={"images": images, "seconds_of_sound": 2.5})
    clock.now += 1
  assert meter.rates()["perf/seconds_of_sound_per_second"] == pytest.approx(2.5)
  meter.step(counts={"images": 8, "seconds_of_sound": 2.5})
  assert "perf/images_per_second" not in meter.rates()
  clock.now += 1
  meter.step(counts={"images": 16})  # two views
  rates = meter.rates()
  assert rates["perf/images_per_second"] == 2 * rates["perf/examples_per_second"]


def test_no_mfu_on_a_cpu():
  clock = Clock()
  meter = Meter(batch_size=8, flops=10.0, clock=clock)
  meter.step()
  clock.now += 1
  meter.step()
  assert "perf/mfu" not in meter.rates()


def run(stream, *, steps=10, start=0, seconds=10.0):
  clock = Clock()
  progress = Progress(
    start=start, total=start + steps, batch_size=4, every=30.0, stream=stream, clock=clock
  )
  for step in range(start + 1, start + steps + 1):
    clock.now += seconds
    progress.step(step, data_wait_seconds=clock.now / 100)
    progress.rates()
    progress.show({"loss": 1 / step, "accuracy": 0.5})
  progress.close()
  return stream.getvalue()


def test_plain_lines_now_and_then():
  lines = run(io.StringIO()).splitlines()
  assert [re.match(r"step (\d+)/10", line).group(1) for line in lines] == ["1", "4", "7", "10"]
  assert lines[1] == "step 4/10 (40%), loss 0.25, 0.4 examples/s, waiting 1%, ETA 0:01:00"


def test_plain_lines_when_nothing_new_is_shown():
  clock, stream = Clock(), io.StringIO()
  progress = Progress(start=0, total=99, batch_size=4, every=30.0, stream=stream, clock=clock)
  progress.show({"loss": 1.0})
  for step in range(1, 13):
    clock.now += 10
    progress.step(step)
  assert [line.split("/")[0] for line in stream.getvalue().splitlines()] == [
    "step 0",
    "step 6",
    "step 12",
  ]


def test_plain_lines_hold_no_control_characters():
  assert not re.search(r"[\r\x1b]", run(io.StringIO()))


def test_a_run_that_goes_on_counts_from_there():
  assert "step 104/110 (95%)" in run(io.StringIO(), start=100)


def test_bar_on_a_terminal():
  text = run(Terminal())
  assert "\r" in text and "10/10" in text and "loss 0.1" in text


def test_only_the_first_process_speaks(monkeypatch):
  monkeypatch.setattr(progress_lib, "is_main", lambda: False)
  assert run(io.StringIO()) == "" and run(Terminal()) == ""


def test_mfu_is_shown(monkeypatch):
  monkeypatch.setattr(progress_lib, "model_flops_utilization", lambda flops, seconds: 0.314)
  assert "MFU 31.4%" in run(io.StringIO())

"""Steps are timed."""

import dataclasses

import jax
import numpy as np
import pytest

from pretrainjax.benchmark.batches import noise_batch
from pretrainjax.benchmark.mesh_report import run_on_mesh
from pretrainjax.benchmark.step_time import StepTimes, time_steps, times_json, times_text
from pretrainjax.config.text import load_config

TIMES = StepTimes(
  device="NVIDIA H100 80GB HBM3",
  num_devices=8,
  batch_size=64,
  compile_seconds=3.0,
  seconds=(0.4, 0.5, 0.5, 0.6, 9.0),
  counts={"tokens": 1000},
  flops=1e12,
  mfu=0.4,
  memory={"total": 2**30},
  peak_bytes=2**31,
  collectives={"all-reduce": {"count": 3, "array_bytes": 4_000_000, "wire_bytes": 7e6}},
  wire_bytes=7e6,
)


def test_the_median_step_counts():
  assert TIMES.quartiles == (0.5, 0.5, 0.6)
  assert TIMES.examples_per_second == 128
  text = times_text(TIMES)
  for part in ("8 x NVIDIA H100", "0.5 s", "128 / s", "2000 / s", "40.0%", "2.00 GiB", "7 MB"):
    assert part in text, text
  values = times_json(TIMES)
  assert values["tokens_per_second"] == 2000 and values["seconds"] == TIMES.seconds
  unknown = dataclasses.replace(TIMES, mfu=None, counts={}, peak_bytes=None)
  assert "not known" in times_text(unknown) and "tokens" not in times_text(unknown)
  assert "tokens_per_second" not in times_json(unknown)


@pytest.mark.parametrize("warmup", [0, 2])
def test_only_steps_after_the_warmup_are_timed(warmup):
  config = load_config("configs/finetune/image/mlp_fashion_mnist.py:smoke")
  run = run_on_mesh(config, {"data": 1, "fsdp": 1, "tensor": 1, "context": 1})
  batch, given = noise_batch(run.data, config.objective), []

  def next_batch():
    given.append(batch)
    return batch

  times = time_steps(run, next_batch, steps=3, warmup=warmup)
  assert len(times.seconds) == 3 and all(s > 0 for s in times.seconds)
  assert len(given) == 3 + warmup, "a batch a step"
  assert times.device == jax.devices()[0].device_kind and times.num_devices == 1
  assert times.mfu is None, "no peak is known for a CPU"
  assert times.batch_size == config.data.batch_size and times.wire_bytes == 0
  assert np.isfinite(times.examples_per_second)

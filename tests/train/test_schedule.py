"""Schedules against closed forms in NumPy, and at their ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.train.duration import Duration
from pretrainjax.train.schedule import (
  WSD,
  Constant,
  CosineRamp,
  RSqrt,
  Schedule,
  WarmupCosine,
  WarmupLinear,
)

TOTAL, WARMUP = 100, 20
STEPS = np.arange(TOTAL + 1)
WARM = Duration(steps=WARMUP)
RUN = {"total_steps": TOTAL, "batch_size": 10, "num_examples": 50}


def build(schedule, **run):
  return schedule.build(**(RUN | run))


def warmed(after, start=0.0):
  rise = start + (1 - start) * STEPS / WARMUP
  return np.where(STEPS < WARMUP, rise, after)


PROGRESS = np.clip((STEPS - WARMUP) / (TOTAL - WARMUP), 0, 1)
FALL = np.clip((STEPS - 70) / 30, 0, 1)
CLOSED_FORMS = [
  (Schedule(), np.ones(TOTAL + 1)),
  (Constant(warmup=WARM), warmed(1.0)),
  (Constant(warmup=WARM, start=0.25), warmed(1.0, 0.25)),
  (WarmupCosine(warmup=WARM), warmed(np.cos(np.pi * PROGRESS / 2) ** 2)),
  (WarmupCosine(warmup=WARM, final=0.1), warmed(0.1 + 0.9 * np.cos(np.pi * PROGRESS / 2) ** 2)),
  (WarmupLinear(warmup=WARM, final=0.02), warmed(1 - 0.98 * PROGRESS)),
  (WSD(warmup=WARM, decay=Duration(steps=30)), warmed(1 - np.sqrt(FALL))),
  (WSD(warmup=WARM, decay=Duration(epochs=6.0), shape="linear", final=0.5), warmed(1 - FALL / 2)),
  (
    RSqrt(warmup=WARM, timescale=Duration(steps=10)),
    warmed(np.sqrt(10 / (10 + np.maximum(STEPS - WARMUP, 0)))),
  ),
  (
    RSqrt(warmup=WARM, timescale=WARM, cooldown=Duration(steps=30)),
    warmed(np.sqrt(WARMUP / np.maximum(STEPS, 1)) * (1 - FALL)),
  ),
  (CosineRamp(start=0.04, end=0.4), 0.4 - 0.36 * np.cos(np.pi * STEPS / TOTAL / 2) ** 2),
]


@pytest.mark.parametrize("schedule, expected", CLOSED_FORMS, ids=lambda x: type(x).__name__)
def test_closed_form(schedule, expected):
  factor = build(schedule)
  with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
    values = jax.jit(jax.vmap(factor))(jnp.arange(TOTAL + 1))
    assert factor(3).dtype == values.dtype == jnp.float32
  np.testing.assert_allclose(values, expected, atol=2e-6)


@pytest.mark.parametrize(
  "schedule, last",
  [
    (WarmupCosine(warmup=WARM, final=0.25), 0.25),
    (WarmupLinear(warmup=WARM, final=0.25), 0.25),
    (WSD(warmup=WARM, decay=WARM, final=0.25), 0.25),
    (RSqrt(warmup=WARM, timescale=WARM, cooldown=WARM), 0.0),
  ],
)
def test_ends(schedule, last):
  factor = build(schedule)
  assert factor(0) == 0
  assert factor(WARMUP) == 1
  assert factor(WARMUP - 1) < 1 and factor(WARMUP + 1) <= 1
  assert abs(factor(TOTAL) - last) < 1e-6
  assert factor(TOTAL - 1) >= factor(TOTAL)
  assert abs(factor(TOTAL + 50) - last) < 1e-6, "past the end it stays"


def test_no_warmup_starts_at_the_peak():
  assert build(WarmupCosine())(0) == 1


def test_epochs():
  assert build(WarmupCosine(warmup=Duration(epochs=2.0)))(5) == 0.5


def test_run_shorter_than_warmup(caplog):
  factor = build(WSD(warmup=WARM, decay=WARM), total_steps=2)
  np.testing.assert_allclose([factor(0), factor(1)], [0, 1 / WARMUP])
  assert "warmup is 20 steps" in caplog.text


@pytest.mark.parametrize(
  "make",
  [
    lambda: WarmupCosine(final=1.5),
    lambda: WarmupLinear(final=-1.0),
    lambda: Constant(start=2.0),
    lambda: build(RSqrt(timescale=Duration(steps=0))),
  ],
)
def test_refused(make):
  with pytest.raises(ValueError, match="="):
    make()

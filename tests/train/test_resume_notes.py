"""What a run says when it goes on under another schedule or batch size."""

import dataclasses

import pytest
import toy_runs
from ml_collections import ConfigDict

from pretrainjax.config import spec
from pretrainjax.train.assemble import Train
from pretrainjax.train.duration import Duration
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.resume_notes import other_batch, rate_jump
from pretrainjax.train.schedule import Constant, WarmupCosine

PARAMS = {"kernel": {}}


def config(steps, schedule, learning_rate=1e-3, batch_size=16):
  return ConfigDict(
    {
      "data": {"batch_size": batch_size},
      "optimizer": spec(Optimizer, learning_rate=learning_rate, schedule=schedule),
      "train": spec(Train, duration=spec(Duration, steps=steps)),
    }
  )


def make(settings, *, steps):
  data = toy_runs.Batches()
  data.num_examples = 1000
  run = toy_runs.make(data, steps=steps)
  sizes = {"total_steps": steps, "batch_size": 16, "num_examples": 1000}
  rate = settings.optimizer.learning_rate
  factor = WarmupCosine() if "Cosine" in settings.optimizer.schedule._target else Constant()
  built = factor.build(**sizes)
  return dataclasses.replace(run, config=settings, learning_rate=lambda step: rate * built(step))


def test_a_longer_schedule_makes_the_rate_jump():
  cosine = spec(WarmupCosine)
  run = make(config(1000, cosine), steps=1000)
  line = rate_jump(run, config(100, cosine), params=PARAMS, step=50)
  assert line is not None
  assert line.startswith("the learning rate jumps from 0.0005 to 0.000994 at step 50: ")
  assert line.endswith("the run has 1,000 steps now, and had 100")
  assert rate_jump(run, config(1000, cosine), params=PARAMS, step=50) is None


def test_another_rate_is_told_and_one_that_goes_on_alike_is_not():
  constant = spec(Constant)
  run = make(config(1000, constant), steps=1000)
  assert rate_jump(run, config(100, constant), params=PARAMS, step=50) is None
  line = rate_jump(run, config(1000, constant, learning_rate=4e-3), params=PARAMS, step=50)
  assert line == "the learning rate jumps from 0.004 to 0.001 at step 50"


def test_what_cannot_be_built_any_more_is_passed_over():
  run = make(config(1000, spec(Constant)), steps=1000)
  assert rate_jump(run, ConfigDict({"optimizer": None}), params=PARAMS, step=5) is None


@pytest.mark.parametrize(
  ("duration", "now", "line"),
  [
    ({"steps": 100}, 32, "; the run sees 1,440 examples more than were planned"),
    ({"steps": 100}, 8, "; the last 720 examples that were planned are passed over"),
    ({"epochs": 2.0}, 32, "; the last 160 examples that were planned are passed over"),
    ({"epochs": 2.0}, 8, "; the run sees 80 examples more than were planned"),
  ],
)
def test_another_batch_size_passes_examples_over_or_sees_more(duration, now, line):
  """Of 100 steps ten were made, in batches of 16."""
  data = toy_runs.Batches()
  data.batch_size = now
  run = toy_runs.make(data, steps=100)
  run = dataclasses.replace(run, train=Train(duration=Duration(**duration)))
  told = other_batch(run, before=16, step=10, example=160)
  assert told == f"batches of {now}, not 16: going on with example 160{line}"

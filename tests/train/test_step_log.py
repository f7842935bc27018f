"""What is read of a finished step."""

import jax.numpy as jnp
import toy_runs

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.objectives.base import Alarm
from pretrainjax.train.feed import DeviceBatch
from pretrainjax.train.progress import Progress
from pretrainjax.train.spikes import initial_trend
from pretrainjax.train.step_log import StepLog, queued
from pretrainjax.train.tracking import Tracker, Tracking


def metrics(loss):
  return {
    "loss": jnp.float32(loss),
    "grad_norm": jnp.float32(1.0),
    "learning_rate": jnp.float32(0.5),
    "bad_steps": jnp.int32(0),
    "bad_in_row": jnp.int32(0),
    "trend": initial_trend(),
  }


def test_rows_are_means_once_an_interval_and_at_the_end(tmp_path):
  run = toy_runs.make(toy_runs.Batches(), steps=5, log_every=2)
  tracker = Tracker(tmp_path, Tracking(tensorboard=False))
  with Checkpoints(tmp_path) as checkpoints:
    progress = Progress(start=0, total=5, batch_size=16)
    to = {"workdir": tmp_path, "checkpoints": checkpoints, "tracker": tracker}
    log = StepLog(run, **to, progress=progress)
    for step in range(1, 6):
      one = queued(step, metrics(float(step)), DeviceBatch({}, step - 1, {}))
      assert (one.step, one.batch) == (step, step - 1)
      assert log.finish(one, waited=0.0) is None
      assert log.interval.plain().get("steps", 0) == (step % 2 if step < 5 else 0)
  tracker.close()
  found = [(row["step"], row["loss"], row["learning_rate"]) for row in toy_runs.rows(tmp_path)]
  assert found == [(2, 1.5, 0.5), (4, 3.5, 0.5), (5, 5.0, 0.5)]


def test_a_metric_below_what_is_healthy_is_told_once(tmp_path, caplog, monkeypatch):
  run = toy_runs.make(toy_runs.Batches(), steps=4, log_every=1)
  alarms = {"code_perplexity": Alarm(2.0, "the units have collapsed")}
  monkeypatch.setattr(type(run.objective), "alarms", alarms)
  tracker = Tracker(tmp_path, Tracking(tensorboard=False))
  with Checkpoints(tmp_path) as checkpoints:
    progress = Progress(start=0, total=4, batch_size=16)
    to = {"workdir": tmp_path, "checkpoints": checkpoints, "tracker": tracker}
    log = StepLog(run, **to, progress=progress)
    for step, used in enumerate((9.0, 1.5, 1.2), start=1):
      values = metrics(1.0) | {"code_perplexity": jnp.float32(used)}
      log.finish(queued(step, values, DeviceBatch({}, step - 1, {})), waited=0.0)
  tracker.close()
  told = [record.getMessage() for record in caplog.records]
  assert told == ["step 2: code_perplexity is 1.5: the units have collapsed"]

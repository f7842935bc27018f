"""Means over the steps of an interval, also of one that a checkpoint lies in."""

import json
import math

from pretrainjax.train.interval import Interval


def values(loss, step):
  return {"loss": loss, "learning_rate": 0.1 * step, "bad_steps": 0.0}


def test_the_mean_is_of_metrics_and_not_of_what_a_step_is():
  interval = Interval()
  for step, loss in enumerate((0.1, 0.2, 0.3), start=1):
    interval.add(values(loss, step), is_skipped=False)
  mean = interval.mean(values(0.3, 3))
  assert mean == {"loss": (0.1 + 0.2 + 0.3) / 3, "learning_rate": 0.1 * 3, "bad_steps": 0.0}
  interval.start()
  assert interval.plain() == {}


def test_one_step_is_its_own_mean_to_the_last_bit():
  interval = Interval()
  interval.add({"loss": 0.1}, is_skipped=False)
  assert interval.mean({"loss": 0.1}) == {"loss": 0.1}


def test_skipped_steps_are_left_out_unless_all_were_skipped():
  interval = Interval()
  interval.add({"loss": math.nan}, is_skipped=True)
  assert math.isnan(interval.mean({"loss": math.nan})["loss"])
  interval.add({"loss": 2.0}, is_skipped=False)
  assert interval.mean({"loss": 2.0}) == {"loss": 2.0}


def test_it_goes_on_from_what_a_file_holds():
  losses = [0.1 * i for i in range(1, 8)]
  whole, first, second = Interval(), Interval(), Interval()
  for step, loss in enumerate(losses):
    whole.add(values(loss, step), is_skipped=False)
    if step < 4:
      first.add(values(loss, step), is_skipped=False)
  second.start(json.loads(json.dumps(first.plain())))
  for step in range(4, len(losses)):
    second.add(values(losses[step], step), is_skipped=False)
  assert second.mean(values(losses[-1], 6)) == whole.mean(values(losses[-1], 6))

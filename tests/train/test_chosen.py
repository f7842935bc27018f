"""What is measured once is measured on the best step, and on nothing else."""

import os
import signal
import time

import damage
import jax
import numpy as np
import pytest
from toy_runs import Batches, make, rows, run, saved

from pretrainjax.checkpoint.manager import Checkpoints, Keep
from pretrainjax.checkpoint.note import read
from pretrainjax.train.chosen import measured_once
from pretrainjax.train.loop import Stopped

KEEP = Keep(last=1, metric="validation/x")


class Validation:
  """Gives one number after the other."""

  name, every = "validation", 2

  def __init__(self, *values):
    self.values = list(values)

  def run(self, subject):
    return {"x": self.values.pop(0)}


class Test:
  """Keeps the parameters that it is given."""

  __test__ = False
  name, every = "test", 0

  def __init__(self):
    self.given = []

  def run(self, subject):
    self.given.append(np.asarray(subject.kernel[...]).copy())
    return {"y": float(self.given[-1].sum())}


def a_run(values=(), *, test=None, keep=KEEP, **options):
  evaluators = {"validation": Validation(*values), "test": test or Test()}
  return make(Batches(), steps=6, evaluators=evaluators, keep=keep, **options)


def kernel_of(workdir, step):
  with Checkpoints(workdir, read_only=True) as checkpoints:
    return np.asarray(checkpoints.arrays(step)["params"]["encoder"]["kernel"])


def test_what_has_no_turn_of_its_own_but_the_chooser_is_measured_once():
  chooser, test, often = Test(), Test(), Validation()
  evaluators = {"validation": chooser, "test": test, "often": often}
  assert measured_once(evaluators, metric="validation/x") == {"test": test}
  assert measured_once(evaluators, metric=None) == {}


def test_the_test_is_of_the_best_step_and_the_state_of_the_last(tmp_path):
  test = Test()
  state = run(a_run([0.1, 0.9, 0.5], test=test), tmp_path / "run")
  assert saved(tmp_path / "run") == [6, 4]
  (given,) = test.given
  np.testing.assert_array_equal(given, kernel_of(tmp_path / "run", 4))
  assert [row["step"] for row in rows(tmp_path / "run") if "test/y" in row] == [4]
  assert set(read(tmp_path / "run/checkpoints/4").evaluators) == {"validation", "test"}
  assert set(read(tmp_path / "run/checkpoints/6").evaluators) == {"validation"}
  calm = run(make(Batches(), steps=6), tmp_path / "calm")
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), jax.device_get(calm))
  run(a_run(test=test), tmp_path / "run")
  assert len(test.given) == 1, "once, also when the command is given again"


@pytest.mark.parametrize("values", [[0.1, 0.5, 0.9], [float("nan")] * 3])
def test_where_the_last_step_is_the_best_or_none_is_known_it_is_the_last(values, tmp_path):
  test = Test()
  state = run(a_run(values, test=test), tmp_path)
  (given,) = test.given
  np.testing.assert_array_equal(given, np.asarray(state.params["encoder"]["kernel"]))
  assert [row["step"] for row in rows(tmp_path) if "test/y" in row] == [6]


def test_a_run_that_chooses_none_is_as_it_was(tmp_path):
  test = Test()
  run(a_run([0.1, 0.9, 0.5], test=test, keep=Keep()), tmp_path)
  assert [row["step"] for row in rows(tmp_path) if "test/y" in row] == [6] and len(test.given) == 1


def test_a_stop_in_the_test_costs_nothing(tmp_path):
  class Stops(Test):
    def run(self, subject):
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(9)

  test, before = Test(), signal.getsignal(signal.SIGTERM)
  try:
    with pytest.raises(Stopped, match="step 6"):
      run(a_run([0.1, 0.9, 0.5], test=Stops()), tmp_path)
  finally:
    signal.signal(signal.SIGTERM, before)
  run(a_run(test=test), tmp_path)
  np.testing.assert_array_equal(test.given[0], kernel_of(tmp_path, 4))
  assert len(test.given) == 1


def test_a_best_step_that_is_damaged_is_set_aside_and_the_next_best_is_taken(tmp_path, caplog):
  class Damages(Validation):
    def run(self, subject):
      if len(self.values) == 1:
        for path in (tmp_path / "checkpoints/4/state").rglob("d/*"):
          damage.truncate(path)
      return super().run(subject)

  test, keep = Test(), Keep(last=9, metric="validation/x")
  to_run = a_run(test=test, keep=keep)
  to_run.evaluators["validation"] = Damages(0.7, 0.9, 0.5)
  run(to_run, tmp_path)
  assert "CHECKPOINT DAMAGED: step 4, the best" in caplog.text
  np.testing.assert_array_equal(test.given[0], kernel_of(tmp_path, 2))
  assert saved(tmp_path) == [6, 2]

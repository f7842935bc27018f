"""What is learnt before step 1 is learnt once, from the run's first batches, and is kept."""

import dataclasses

import numpy as np
import pytest
import toy
import toy_runs

from pretrainjax import training
from pretrainjax.train import learn_first
from pretrainjax.train.learn_first import learns_first, learnt_first


@dataclasses.dataclass(frozen=True)
class Counts(toy_runs.Toy):
  """Puts the mean of the first batches where the running mean begins."""

  count: int = 3

  @property
  def first_batches(self):
    return self.count

  def learn_first(self, module, batches, key):
    rows = [batch["x"].mean(0) for batch in batches]
    assert len(rows) == self.count
    module.mean[...] = np.mean(rows, axis=0)


def run_of(objective, data):
  run = toy_runs.make(data, steps=4)
  return dataclasses.replace(run, objective=objective)


def test_the_first_batches_are_those_of_training():
  data = toy_runs.Batches()
  run = run_of(Counts(), data)
  found = learnt_first(run, run.init())
  expected = np.mean([toy.batch(step)["x"].mean(0) for step in range(3)], axis=0)
  np.testing.assert_allclose(found.extras["mean"], expected, rtol=1e-6)
  assert data.started == [0] and data.closed
  np.testing.assert_array_equal(
    found.params["encoder"]["bias"], run.init().params["encoder"]["bias"]
  )


@pytest.mark.parametrize(("objective", "wanted"), [(toy_runs.Toy(), False), (Counts(), True)])
def test_only_who_learns_first_is_asked(objective, wanted, monkeypatch):
  assert learns_first(objective) == wanted
  asked = []
  monkeypatch.setattr(training, "learnt_first", lambda run, state: asked.append(1) or state)
  training._new(run_of(objective, toy_runs.Batches()), None)
  assert asked == [1] * wanted


def test_batches_are_closed_where_learning_fails(monkeypatch):
  data = toy_runs.Batches()
  run = run_of(Counts(), data)

  def failing(*_):
    raise ValueError("no rows")

  monkeypatch.setattr(Counts, "learn_first", failing)
  with pytest.raises(ValueError, match="no rows"):
    learn_first.learnt_first(run, run.init())
  assert data.closed

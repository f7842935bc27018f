"""Durations: one unit, and its length in steps."""

import pytest

from pretrainjax.train.duration import Duration


@pytest.mark.parametrize(
  "duration, steps",
  [
    (Duration(steps=7), 7),
    (Duration(steps=0), 0),
    (Duration(epochs=1.0), 10),
    (Duration(epochs=1.5), 15),
    (Duration(examples=100), 10),
    (Duration(examples=101), 11),
  ],
)
def test_units(duration, steps):
  assert duration.in_steps(batch_size=10, num_examples=100) == steps


def test_an_epoch_sees_every_example():
  assert Duration(epochs=1.0).in_steps(batch_size=32, num_examples=100) == 4


def test_floating_point_adds_no_step():
  assert Duration(epochs=0.1 + 0.2).in_steps(batch_size=1, num_examples=10) == 3


@pytest.mark.parametrize("given", [{}, {"steps": 1, "epochs": 2.0}])
def test_exactly_one(given):
  with pytest.raises(ValueError, match="exactly one") as error:
    Duration(**given)
  assert "found none" in str(error.value) or "steps=1, epochs=2.0" in str(error.value)


@pytest.mark.parametrize("given", [{"steps": -1}, {"epochs": float("nan")}])
def test_not_negative_and_finite(given):
  with pytest.raises(ValueError, match="finite and not negative"):
    Duration(**given)


def test_epochs_of_unknown_length():
  with pytest.raises(ValueError, match="use steps or examples"):
    Duration(epochs=1.0).in_steps(batch_size=1, num_examples=None)
  assert Duration(examples=3).in_steps(batch_size=2, num_examples=None) == 2

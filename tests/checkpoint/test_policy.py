"""Which checkpoints stay."""

import math
from types import SimpleNamespace

import pytest

from pretrainjax.checkpoint.policy import NewestAndBest

VALUES = {1: 0.1, 2: 0.9, 3: 0.9, 4: math.nan, 5: 0.2, 6: 0.0}


@pytest.mark.parametrize(
  ("last", "best", "stay"),
  [(1, 1, [3, 6]), (2, 1, [3, 5, 6]), (1, 2, [2, 3, 6]), (9, 1, [1, 2, 3, 4, 5, 6])],
)
def test_newest_and_best_of_those_that_are_known(last, best, stay):
  policy = NewestAndBest(last=last, best=best, value=VALUES.__getitem__)
  kept = policy.should_preserve([SimpleNamespace(step=s) for s in VALUES], context=None)
  assert [s for s, stays in zip(VALUES, kept, strict=True) if stays] == stay


def test_without_a_value_the_newest_alone():
  policy = NewestAndBest(last=2, best=3, value=None)
  kept = policy.should_preserve([SimpleNamespace(step=s) for s in (1, 2, 3)], context=None)
  assert kept == [False, True, True]

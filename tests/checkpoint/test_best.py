"""The best of the saved steps."""

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.best import Best, best_step
from pretrainjax.checkpoint.manager import Checkpoints, Keep


@pytest.fixture
def workdir(tmp_path):
  with Checkpoints(tmp_path, keep=Keep(last=9)) as checkpoints:
    for step, number in ((1, 0.5), (2, 1.0), (3, 0.5)):
      checkpoints.save(step, {"params": {"a": jnp.ones(1)}}, config=ConfigDict())
      numbers = {"a/x": number} | ({"a/early": 0.1} if step == 1 else {})
      checkpoints.note(step, evaluators=["a"], numbers=numbers)
  return tmp_path


@pytest.mark.parametrize(
  ("keep", "best"),
  [
    (Keep(metric="a/x"), Best(2, 1.0, 0.5)),
    (Keep(metric="a/x", mode="min"), Best(3, 0.5, 0.5)),
    (Keep(metric="a/early"), Best(1, 0.1, None)),
    (Keep(metric="a/other"), None),
    (Keep(), None),
  ],
)
def test_it_is_told_with_its_number_and_the_last_ones(keep, best, workdir):
  with Checkpoints(workdir, read_only=True) as checkpoints:
    assert best_step(checkpoints, keep) == best

"""A disk that takes no more: one line, what was saved stays, and the same command goes on."""

import contextlib
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError

CONFIG = ConfigDict({"seed": 0})


def state(step: int):
  noise = np.random.default_rng(step).normal(size=(300, 300))  # what does not compress
  return {"params": {"kernel": jnp.asarray(noise, jnp.float32)}, "step": jnp.asarray(step)}


@contextlib.contextmanager
def no_room():
  """Files may not grow: the nearest to a full disk that a process can make for itself."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Orbax's threads raise too, each for itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_was_saved_stays_and_the_run_goes_on(tmp_path):
  with pytest.raises(UserError, match="cannot save, file too large; what was saved") as refusal:
    with Checkpoints(tmp_path) as checkpoints:
      checkpoints.save(1, state(1), config=CONFIG)
      checkpoints.wait()
      with no_room():
        checkpoints.save(2, state(2), config=CONFIG)
        checkpoints.wait()
  assert "\n" not in str(refusal.value)
  with Checkpoints(tmp_path, read_only=True) as reader:
    assert reader.steps() == [1]
  with Checkpoints(tmp_path) as checkpoints:  # started again, with room
    restored = checkpoints.restore(state(0))
    jax.tree.map(np.testing.assert_array_equal, restored, state(1))
    checkpoints.save(2, state(2), config=CONFIG)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 1]

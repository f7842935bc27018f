"""Damage of one step's files keeps nobody from opening the others."""

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Checkpoints


def state(value):
  return {"a": jnp.full(4, float(value))}


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\x00", b"7"])
def test_an_older_step_is_taken(content, tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, state(step), config=ConfigDict({"a": 1}))
  (tmp_path / "checkpoints" / "2" / "_CHECKPOINT_METADATA").write_bytes(content)
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps() == [2, 1]
    assert float(checkpoints.arrays(1)["a"][0]) == 1
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(state(0))
    # Where Orbax reads over it, the arrays are verified all the same.
    assert float(restored["a"][0]) == checkpoints.steps()[0]
    if content.startswith((b"[", b"{")):
      assert checkpoints.steps() == [1] and (tmp_path / "quarantine" / "STEP-2").is_dir()
    checkpoints.save(3, state(3), config=ConfigDict({"a": 1}))
    checkpoints.wait()
    assert checkpoints.steps()[0] == 3

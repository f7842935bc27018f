"""A step is compiled once for each shape of batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.train.programs import Programs


def test_each_shape_is_compiled_once():
  traced = []

  def step(state, batch):
    traced.append(batch["tokens"].shape)
    return state + jnp.sum(batch["tokens"]), {"loss": state}

  programs, state = Programs(jax.jit(step)), jnp.float32(0)
  for length in (4, 8, 4, 8, 8):
    batch = {"tokens": np.ones((2, length), np.float32)}
    if not programs.has(batch):
      programs.compile(state, batch)
    state, metrics = programs(state, batch)
  assert traced == [(2, 4), (2, 8)] and len(programs) == 2
  assert state == 2 * (4 + 8 + 4 + 8 + 8) and metrics["loss"] == state - 16
  assert not programs.has({"tokens": np.ones((2, 4), np.int32)}), "types are told apart"
  with pytest.raises(KeyError):
    programs(state, {"tokens": np.ones((2, 5), np.float32)})

"""The state of training, which each step takes and returns."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import split
from pretrainjax.train.spikes import initial_trend


@struct.dataclass
class TrainState:
  """All arrays of a run, by names that are the same in all versions of flax.

  Fields are not annotated with shapes, because trees of shardings have this shape too.

  Attributes:
    step: the number of steps taken, an int32 scalar.
    position: batches of the data that were used or passed over, an int32 scalar: the next step's
      batch. It is the step until a spike of the loss makes the run pass over some.
    params: the trainable arrays, nested plain dicts.
    extras: the module's other variables (batch statistics, teacher, queue), likewise.
    opt_state: the state of the optimizer.
    key: the raw data of the root PRNG key; with the step it determines all randomness.
    ema: the moving average of params, or None.
    bad_steps: the number of steps skipped because loss or gradient was not finite.
    bad_in_row: the number of latest steps in a row that were skipped.
    trend: the running mean and variance of the loss, see `spikes.LossTrend`.
    roll_backs: the number of roll-backs to a checkpoint because of a spike of the loss.
  """

  step: Any
  position: Any
  params: Any
  extras: Any
  opt_state: Any
  key: Any
  ema: Any
  bad_steps: Any
  bad_in_row: Any
  trend: Any
  roll_backs: Any


def init_state(
  objective: Objective, tx: optax.GradientTransformation, *, seed: int, with_ema: bool
) -> TrainState:
  """Makes a new state; to be called under jit, so that arrays are made once, on the right device.

  Args:
    objective: the objective, which makes the module.
    tx: the optimizer's transformation, of optax.
    seed: the seed of the root key.
    with_ema: whether to keep a moving average of the parameters; it starts as their copy.
  """
  init_key, root = jax.random.split(jax.random.key(seed))
  _, params, extras = split(objective.init(rngs=nnx.Rngs(init_key)))
  zero = jnp.zeros((), jnp.int32)
  return TrainState(
    step=zero,
    position=zero,
    params=params,
    extras=extras,
    opt_state=tx.init(params),
    key=jax.random.key_data(root),
    ema=jax.tree.map(jnp.copy, params) if with_ema else None,
    bad_steps=zero,
    bad_in_row=zero,
    trend=initial_trend(),
    roll_backs=zero,
  )

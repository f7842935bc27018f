"""The one value that training carries from step to step."""

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
  """All that a run is, apart from its config; arrays only, names stable across versions of flax.

  Fields are not annotated with shapes, because trees of shardings have this shape too.

  Attributes:
    step: steps taken, an int32 scalar.
    position: batches of the data that were used or passed over, an int32 scalar: the next step's
      batch. It is the step until a spike of the loss makes the run pass over some.
    params: trainable arrays, nested plain dicts.
    extras: the module's other variables (batch statistics, teacher, queue), likewise.
    opt_state: the optimizer's.
    key: raw data of the root PRNG key; with the step it determines all randomness.
    ema: moving average of params, or None.
    bad_steps: how many steps were skipped because loss or gradient was not finite.
    bad_in_row: how many of them just now, one after the other.
    trend: of the loss, see `spikes.LossTrend`.
    roll_backs: how often the run went back to a checkpoint because the loss had jumped.
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
  """A new state; to be called under jit, so that nothing is made twice or on the wrong device.

  Args:
    objective: makes the module.
    tx: the optimizer.
    seed: of the root key.
    with_ema: keep a moving average of the parameters; it starts as their copy.
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

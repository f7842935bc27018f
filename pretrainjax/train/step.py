"""One training step: loss, gradient, update; an update that is not finite is not applied."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import split
from pretrainjax.train.gradient import Gradient, Plain
from pretrainjax.train.spikes import Spikes, update_trend
from pretrainjax.train.state import TrainState
from pretrainjax.train.transforms import ema_update
from pretrainjax.types import Batch, Metrics


def make_train_step(
  objective: Objective,
  graphdef: nnx.GraphDef,
  tx: optax.GradientTransformation,
  *,
  learning_rate: optax.Schedule,
  total_steps: int,
  gradient: Gradient = Plain(),
  ema_decay: float | None = None,
  spikes: Spikes = Spikes(),
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Makes the function of a training step, for `Parallel.program`; jit and pmap share it.

  Args:
    objective: the objective that is minimised.
    graphdef: the static structure of the objective's module.
    tx: the optimizer whose updates are applied.
    learning_rate: the learning rate by step, for the log only; `tx` holds it already.
    total_steps: the number of steps of the whole run, for the schedules of `after_update`.
    gradient: the way in which a batch becomes the gradient, see `train/gradient.py`.
    ema_decay: the decay of the moving average of parameters, in [0, 1); None keeps none.
    spikes: the definition of a spike of the loss.

  Returns:
    (state, batch) -> (state, metrics): metrics are the objective's and "loss", "grad_norm",
    "learning_rate", "bad_steps", "bad_in_row", all scalars, and "trend", see `LossTrend`.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    grads, extras, metrics = gradient(objective, graphdef, state, batch, key=key)
    grad_norm = optax.tree.norm(grads)
    good = jnp.isfinite(metrics["loss"]) & jnp.isfinite(grad_norm)

    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    module = nnx.merge(graphdef, params, extras)
    progress = jnp.minimum(state.step.astype(jnp.float32) / total_steps, 1.0)
    objective.after_update(module, step=state.step, progress=progress)
    _, params, extras = split(module)
    ema = state.ema if ema_decay is None else ema_update(state.ema, params, ema_decay, state.step)

    # A step that is not finite leaves everything as it was but the counts.
    trend = update_trend(state.trend, metrics["loss"], spikes=spikes)
    new = (params, extras, opt_state, ema, trend)
    old = (state.params, state.extras, state.opt_state, state.ema, state.trend)
    new = jax.tree.map(lambda n, o: jnp.where(good, n, o), new, old)
    params, extras, opt_state, ema, trend = new
    state = state.replace(
      step=state.step + 1,
      position=state.position + 1,
      params=params,
      extras=extras,
      opt_state=opt_state,
      ema=ema,
      bad_steps=state.bad_steps + ~good,
      bad_in_row=jnp.where(good, 0, state.bad_in_row + 1),
      trend=trend,
    )
    metrics = {
      **metrics,
      "grad_norm": grad_norm,
      "learning_rate": learning_rate(state.step - 1 - state.bad_steps),
      "bad_steps": state.bad_steps,
      "bad_in_row": state.bad_in_row,
      "trend": state.trend,
    }
    return state, metrics

  return train_step

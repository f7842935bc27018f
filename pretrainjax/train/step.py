"""One training step: loss, gradient, update, and nothing applied that is not finite."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array

from pretrainjax import collectives
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import split
from pretrainjax.train.grad_cache import cached_gradient, cut
from pretrainjax.train.spikes import Spikes, follow
from pretrainjax.train.state import TrainState
from pretrainjax.train.transforms import ema_update
from pretrainjax.types import Batch, Metrics


def make_train_step(
  objective: Objective,
  graphdef: nnx.GraphDef,
  tx: optax.GradientTransformation,
  *,
  learning_rate: optax.Schedule,
  accumulate: int = 1,
  grad_cache: bool = False,
  ema_decay: float | None = None,
  spikes: Spikes = Spikes(),
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
  """Makes the step for `Parallel.program`; the same one serves jit and pmap.

  Args:
    objective: what is minimised.
    graphdef: of the objective's module.
    tx: the optimizer.
    learning_rate: for the log only; `tx` holds it already.
    accumulate: parts that a batch is cut into; gradients are averaged over them, so memory
      falls and the update stays, but for losses and layers that compare rows: contrastive ones
      then see a part each, unless `grad_cache`, and so do batch statistics in any case.
    grad_cache: encode part by part, twice, and compare the whole batch in between (arXiv
      2101.06983); for objectives that are `Contrastive`.
    ema_decay: of the moving average of parameters, in [0, 1); None keeps none.
    spikes: what a jump of the loss is.

  Returns:
    (state, batch) -> (state, metrics): metrics are the objective's and "loss", "grad_norm",
    "learning_rate", "bad_steps", "bad_in_row", all scalars, and "trend", see `LossTrend`.
  """

  def loss_fn(params: Any, extras: Any, batch: Batch, key: Array, step: Array):
    module = nnx.merge(graphdef, params, extras)
    loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(key), step=step)
    return loss, (metrics, split(module)[2])

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    if grad_cache and accumulate > 1:
      grads, extras, metrics = cached_gradient(objective, graphdef, state, batch, key, accumulate)
    else:
      grads, extras, metrics = _gradient(loss_fn, state, batch, key, accumulate)
    grads, metrics = collectives.mean((grads, metrics))
    grad_norm = optax.tree.norm(grads)
    good = jnp.isfinite(metrics["loss"]) & jnp.isfinite(grad_norm)

    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    module = nnx.merge(graphdef, params, extras)
    objective.after_update(module, step=state.step)
    _, params, extras = split(module)
    ema = state.ema if ema_decay is None else ema_update(state.ema, params, ema_decay, state.step)

    # A step that is not finite leaves everything as it was but the counts.
    trend = follow(state.trend, metrics["loss"], spikes=spikes)
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
    metrics |= {
      "grad_norm": grad_norm,
      "learning_rate": learning_rate(state.step - 1 - state.bad_steps),
      "bad_steps": state.bad_steps,
      "bad_in_row": state.bad_in_row,
      "trend": state.trend,
    }
    return state, metrics

  return train_step


def _gradient(loss_fn: Callable, state: TrainState, batch: Batch, key: Array, accumulate: int):
  """Gradients, extras and metrics of the whole batch, in `accumulate` parts."""
  grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
  if accumulate == 1:
    (loss, (metrics, extras)), grads = grad_fn(state.params, state.extras, batch, key, state.step)
    return grads, extras, {**metrics, "loss": loss}

  def part(extras: Any, part_batch_and_index):
    part_batch, index = part_batch_and_index
    (loss, (metrics, extras)), grads = grad_fn(
      state.params, extras, part_batch, jax.random.fold_in(key, index), state.step
    )
    return extras, (grads, {**metrics, "loss": loss})

  parts = cut(dict(batch), accumulate)
  extras, (grads, metrics) = jax.lax.scan(part, state.extras, (parts, jnp.arange(accumulate)))
  grads, metrics = jax.tree.map(lambda x: x.mean(0), (grads, metrics))
  return grads, extras, metrics

"""Ways in which a batch becomes the gradient that the optimizer takes: whole, or in parts.

`train/grad_cache.py` is a third way, for losses that compare the examples of a batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key

from pretrainjax import collectives
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import hold_fixed, split
from pretrainjax.train.state import TrainState
from pretrainjax.types import Batch, Metrics


class GradientResult(NamedTuple):
  """The gradient of one batch, equal on all devices but for `extras`, which are this device's.

  Attributes:
    grads: the gradient for the optimizer, a tree like `TrainState.params`.
    extras: the module's other variables after the forward passes.
    metrics: the scalars to log by name. "loss" is also what decides, with the norm of `grads`,
      whether the step is skipped, and whether the loss has jumped.
  """

  grads: Any
  extras: Any
  metrics: Metrics


@runtime_checkable
class Gradient(Protocol):
  """A way from a batch to its gradient, a frozen dataclass of its settings.

  It has the objective and not its loss alone, so that it may take examples one by one (to clip
  each of their gradients) or in parts. What is exchanged with other devices, and when, is its own:
  a mean over them, or a sum that noise from `key` is added to once, and that is divided after.
  """

  def check(self, objective: Objective) -> None:
    """Refuses an objective whose gradient would be another one, before anything is compiled.

    Raises:
      UserError: naming the config's key.
    """
    ...

  def __call__(
    self,
    objective: Objective,
    graphdef: nnx.GraphDef,
    state: TrainState,
    batch: Batch,
    *,
    key: Key[Array, ""],
  ) -> GradientResult:
    """The gradient of the batch of all devices, inside of the compiled step.

    Args:
      objective: the objective that is minimised.
      graphdef: the static structure of its module.
      state: the state, of which `params`, `extras` and `step` are read.
      batch: this device's rows of the batch.
      key: the PRNG key of the step, equal on all devices.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Plain:
  """The gradient of the whole batch's loss, in one backward pass."""

  def check(self, objective: Objective) -> None:
    """Refuses nothing, see `Gradient`."""
    del objective  # each has one

  def __call__(
    self,
    objective: Objective,
    graphdef: nnx.GraphDef,
    state: TrainState,
    batch: Batch,
    *,
    key: Key[Array, ""],
  ) -> GradientResult:
    differentiate = _loss_gradient(objective, graphdef)
    (loss, (metrics, extras)), grads = differentiate(
      state.params, state.extras, batch, key, state.step
    )
    return mean_over_devices(grads, extras, {**metrics, "loss": loss})


@dataclasses.dataclass(frozen=True)
class Accumulated:
  """The mean of the gradients of a batch's parts, one after the other, in the memory of one.

  The update is that of the whole batch, but for losses and layers that compare rows, which see a
  part each (`grad_cache.Cached` spares the losses that), and for noise, which is drawn per part.

  Attributes:
    num_parts: the number of parts, a divisor of the rows of a device.
  """

  num_parts: int

  def check(self, objective: Objective) -> None:
    """Refuses nothing, see `Gradient`."""
    del objective  # what compares rows may be wanted to compare fewer

  def __call__(
    self,
    objective: Objective,
    graphdef: nnx.GraphDef,
    state: TrainState,
    batch: Batch,
    *,
    key: Key[Array, ""],
  ) -> GradientResult:
    differentiate = _loss_gradient(objective, graphdef)

    def one_part(extras: Any, part_and_index: Any):
      part, index = part_and_index
      (loss, (metrics, extras)), grads = differentiate(
        state.params, extras, part, jax.random.fold_in(key, index), state.step
      )
      return extras, (grads, {**metrics, "loss": loss})

    parts = (cut(dict(batch), self.num_parts), jnp.arange(self.num_parts))
    extras, (grads, metrics) = jax.lax.scan(one_part, state.extras, parts)
    grads, metrics = jax.tree.map(lambda x: x.mean(0), (grads, metrics))
    return mean_over_devices(grads, extras, metrics)


def _loss_gradient(objective: Objective, graphdef: nnx.GraphDef) -> Callable:
  """Makes (params, extras, batch, key, step) -> ((loss, (metrics, new extras)), gradient)."""

  def loss(params: Any, extras: Any, batch: Batch, key: Array, step: Array):
    module = nnx.merge(graphdef, hold_fixed(objective, params), extras)
    loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(key), step=step)
    return loss, (metrics, split(module)[2])

  return jax.value_and_grad(loss, has_aux=True)


def mean_over_devices(grads: Any, extras: Any, metrics: Metrics) -> GradientResult:
  """The mean over devices of each device's gradient and metrics.

  Args:
    grads: the gradient of each device.
    extras: what each device's module has beside parameters.
    metrics: the scalars to log of each device.
  """
  grads, metrics = collectives.mean((grads, metrics))
  return GradientResult(grads, extras, metrics)


def cut(rows: Any, num_parts: int) -> Any:
  """Cuts arrays "B ..." into parts "num_parts B/num_parts ...".

  Row i goes to part i % num_parts, so that every device keeps its own rows.
  """
  return jax.tree.map(lambda x: jnp.swapaxes(x.reshape(-1, num_parts, *x.shape[1:]), 0, 1), rows)


def join(parts: Any) -> Any:
  """Joins the parts of `cut` again."""
  return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), parts)

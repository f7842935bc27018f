"""Gradients of a contrastive batch that does not fit in memory at once."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key

from pretrainjax.objectives.base import Contrastive
from pretrainjax.objectives.split import split
from pretrainjax.train.state import TrainState
from pretrainjax.types import Batch, Metrics


def cached_gradient(
  objective: Contrastive,
  graphdef: nnx.GraphDef,
  state: TrainState,
  batch: Batch,
  key: Key[Array, ""],
  num_parts: int,
) -> tuple[Any, Any, Metrics]:
  """The gradient of the whole batch's loss, activations of one part held at a time.

  Representations of all parts are made without keeping activations; the whole batch is compared;
  then each part is encoded again, and the gradient of its representations goes on into the
  parameters. A part draws the same noise both times. It costs one more forward pass.

  Equal to the whole batch in one, but for layers with batch statistics, which see a part each,
  and for noise, which is drawn per part.

  Args:
    objective: what is minimised.
    graphdef: of its module.
    state: parameters and extras are read.
    batch: whose rows are cut, see `cut`.
    key: the step's.
    num_parts: a divisor of the rows of a device.

  Returns:
    Gradients, the module's other variables after all parts, and metrics.

  Reference: GradCache, arXiv 2101.06983.
  """

  def represent(params: Any, extras: Any, part: Batch, index: Array):
    module = nnx.merge(graphdef, params, extras)
    rngs = nnx.Rngs(jax.random.fold_in(key, index))
    found = objective.represent(module, part, rngs=rngs, step=state.step)
    return found, split(module)[2]

  def look(extras: Any, part_and_index: Any):
    found, extras = represent(state.params, extras, *part_and_index)
    return extras, found

  def contrast(params: Any, found: Any):
    return objective.contrast(nnx.merge(graphdef, params, state.extras), found)

  def push(carry: Any, part_index_slope: Any):
    grads, extras = carry
    part, index, slope = part_index_slope
    _, pull, extras = jax.vjp(
      lambda params: represent(params, extras, part, index), state.params, has_aux=True
    )
    return (jax.tree.map(jnp.add, grads, pull(slope)[0]), extras), None

  parts, indices = cut(dict(batch), num_parts), jnp.arange(num_parts)
  _, found = jax.lax.scan(look, state.extras, (parts, indices))
  gradient = jax.value_and_grad(contrast, argnums=(0, 1), has_aux=True)
  (loss, metrics), (grads, slopes) = gradient(state.params, join(found))
  carry = (grads, state.extras)
  (grads, extras), _ = jax.lax.scan(push, carry, (parts, indices, cut(slopes, num_parts)))
  return grads, extras, {**metrics, "loss": loss}


def cut(rows: Any, num_parts: int) -> Any:
  """Arrays "B ..." as parts "num_parts B/num_parts ...".

  Row i goes to part i % num_parts, so that every device keeps its own rows.
  """
  return jax.tree.map(lambda x: jnp.swapaxes(x.reshape(-1, num_parts, *x.shape[1:]), 0, 1), rows)


def join(parts: Any) -> Any:
  """Undoes `cut`."""
  return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), parts)

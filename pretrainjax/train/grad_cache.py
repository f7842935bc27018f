"""Gradient caching: the exact gradient of a contrastive loss whose batch does not fit in memory."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key

from pretrainjax.errors import UserError
from pretrainjax.objectives.base import Objective, WholeBatchObjective
from pretrainjax.objectives.split import hold_fixed, split
from pretrainjax.train.gradient import GradientResult, Plain, cut, join, mean_over_devices
from pretrainjax.train.state import TrainState
from pretrainjax.types import Batch


@dataclasses.dataclass(frozen=True)
class Cached:
  """The gradient of the whole batch's loss, activations of one part held at a time.

  Representations of all parts are made without keeping activations; the whole batch is compared;
  then each part is encoded again, and the gradient of its representations goes on into the
  parameters. A part draws the same noise both times. It costs one more forward pass.

  Equal to the whole batch in one, but for layers with batch statistics, which see a part each,
  and for noise, which is drawn per part.

  Attributes:
    num_parts: the number of parts, a divisor of the rows of a device.

  Reference: GradCache, arXiv 2101.06983.
  """

  num_parts: int

  def check(self, objective: Objective) -> None:
    """Refuses an objective that does not compare the examples of a batch, see `Gradient`."""
    if not isinstance(objective, WholeBatchObjective):
      raise UserError(
        "--config.train.grad_cache: found True, expected False: "
        f"{type(objective).__name__} does not compare examples, so train.accumulate is enough"
      )

  def __call__(
    self,
    objective: Objective,
    graphdef: nnx.GraphDef,
    state: TrainState,
    batch: Batch,
    *,
    key: Key[Array, ""],
  ) -> GradientResult:
    assert isinstance(objective, WholeBatchObjective), "see `check`"
    if self.num_parts == 1:  # all fits, and nothing needs to be encoded twice
      return Plain()(objective, graphdef, state, batch, key=key)

    def represent(params: Any, extras: Any, part: Batch, index: Array):
      module = nnx.merge(graphdef, hold_fixed(objective, params), extras)
      rngs = nnx.Rngs(jax.random.fold_in(key, index))
      found = objective.represent(module, part, rngs=rngs, step=state.step)
      return found, split(module)[2]

    def forward(extras: Any, part_and_index: Any):
      found, extras = represent(state.params, extras, *part_and_index)
      return extras, found

    def compare(params: Any, found: Any):
      held = hold_fixed(objective, params)
      return objective.compare(nnx.merge(graphdef, held, state.extras), found)

    def backward(carry: Any, part_index_slopes: Any):
      grads, extras = carry
      part, index, slopes = part_index_slopes
      _, pull, extras = jax.vjp(
        lambda params: represent(params, extras, part, index), state.params, has_aux=True
      )
      return (jax.tree.map(jnp.add, grads, pull(slopes)[0]), extras), None

    parts, indices = cut(dict(batch), self.num_parts), jnp.arange(self.num_parts)
    _, found = jax.lax.scan(forward, state.extras, (parts, indices))
    gradient = jax.value_and_grad(compare, argnums=(0, 1), has_aux=True)
    (loss, metrics), (grads, slopes) = gradient(state.params, join(found))
    again = (parts, indices, cut(slopes, self.num_parts))
    (grads, extras), _ = jax.lax.scan(backward, (grads, state.extras), again)
    return mean_over_devices(grads, extras, {**metrics, "loss": loss})

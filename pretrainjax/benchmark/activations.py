"""The bytes that a loss keeps for its backward pass, by tracing and without a compiler."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from pretrainjax.train.assemble import Run


def kept_for_backward(loss: Callable[..., Any], params: Any, *others: Any) -> int:
  """The bytes that the gradient needs of the forward pass, beside the arguments of the loss.

  Args:
    loss: the function (params, *others) -> a scalar.
    params: the first argument, by which the loss is differentiated; arrays or their shapes.
    *others: the other arguments of the loss; arrays or their shapes.

  >>> x, w = jax.numpy.ones((8, 4)), jax.numpy.ones((4, 16))
  >>> kept_for_backward(lambda w, x: jax.numpy.sum((x @ w) ** 2), w, x) == 8 * 16 * 4
  True
  """

  def backward(params: Any, *others: Any) -> list[Any]:
    # What it returns is a pytree of all that it holds.
    return jax.tree.leaves(jax.vjp(lambda p: loss(p, *others), params)[1])

  jaxpr = jax.make_jaxpr(backward)(params, *others).jaxpr
  given = set(map(id, jaxpr.invars))
  kept = {id(v): v.aval for v in jaxpr.outvars if id(v) not in given}
  return sum(math.prod(aval.shape) * aval.dtype.itemsize for aval in kept.values())


def kept_by_step(run: Run, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> int:
  """The bytes that a device keeps for the backward pass, of its rows of one part of the batch.

  What "tensor" and "context" cut counts in full, and of a loss over all rows only what this
  device's rows have with each other.

  Args:
    run: the run that is measured, built from its config.
    shapes: shapes and dtypes of the batch over all devices, "B ...", by name.
  """
  state = run.abstract_state
  parts = run.parallel.num_shards * run.train.accumulate
  batch = {
    name: jax.ShapeDtypeStruct((x.shape[0] // parts, *x.shape[1:]), x.dtype)
    for name, x in shapes.items()
  }

  def loss(params: Any, extras: Any, batch: Any, key: Any, step: Any) -> Any:
    module = nnx.merge(run.graphdef, params, extras)
    rngs = nnx.Rngs(jax.random.wrap_key_data(key))
    return run.objective.loss(module, batch, rngs=rngs, step=step)[0]

  return kept_for_backward(loss, state.params, state.extras, batch, state.key, state.step)

"""Gradient transformations that optax lacks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int

from pretrainjax.train.parameters import is_stacked, leaves_by_name, map_with_names


def per_layer(
  inner: optax.GradientTransformation, params: Any
) -> optax.GradientTransformationExtraArgs:
  """Applies `inner` to every layer of a stack by itself, and to other parameters as it is.

  For transformations that look at a whole array at once: norms, factored moments.

  Args:
    inner: what to apply; its decisions by shape then see one layer's shape.
    params: nested dicts of arrays or ShapeDtypeStructs.
  """

  def label(name: str, leaf: Any) -> str:
    return f"layers{leaf.shape[0]}" if is_stacked(name) else "single"

  labels = {label(name, leaf) for name, leaf in leaves_by_name(params).items()}
  vmapped = optax.GradientTransformation(
    lambda params: _vmap(inner.init, params), lambda *arrays: _vmap(inner.update, *arrays)
  )
  # One group a depth: vmap wants all its arrays equally long.
  transforms = {name: inner if name == "single" else vmapped for name in labels}
  return optax.partition(transforms, lambda tree: map_with_names(label, tree))


def _vmap(function, *arrays):
  # vmap refuses trees without leaves, which masks can leave behind.
  return jax.vmap(function)(*arrays) if jax.tree.leaves(arrays[0]) else function(*arrays)


def scale_by_name(scales: Mapping[str, np.ndarray]) -> optax.GradientTransformation:
  """Multiplies each update by its own constant, that of its name in `scales`."""
  return optax.stateless(
    lambda updates, params: map_with_names(lambda name, update: update * scales[name], updates)
  )


class HeldState(NamedTuple):
  """The state of `held`.

  Attributes:
    count: the steps taken so far.
    inner: the state of the transformation that is held back.
  """

  count: Any
  inner: Any


def held(
  inner: optax.GradientTransformation, num_steps: int
) -> optax.GradientTransformationExtraArgs:
  """Updates by zero for the first steps; `inner` takes its own first step after them.

  Args:
    inner: the transformation, whose state stays as it begins until then.
    num_steps: the steps without update.
  """

  def init(params):
    return HeldState(jnp.zeros((), jnp.int32), inner.init(params))

  def update(updates, state, params=None, **extra):
    del extra
    moved, after = inner.update(updates, state.inner, params)
    is_held = state.count < num_steps
    moved = jax.tree.map(lambda x: jnp.where(is_held, jnp.zeros_like(x), x), moved)
    after = jax.tree.map(lambda old, new: jnp.where(is_held, old, new), state.inner, after)
    return moved, HeldState(optax.safe_increment(state.count), after)

  return optax.GradientTransformationExtraArgs(init, update)


def with_standard_promotion(tx: optax.GradientTransformation) -> optax.GradientTransformation:
  """Runs `tx` under jax's usual promotion rules, also where tests make them strict.

  optax's adam adds an int32 count to floats, which strict dtype promotion refuses.
  """

  def init(params):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
      return tx.init(params)

  def update(updates, state, params=None):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
      return tx.update(updates, state, params)

  return optax.GradientTransformation(init, update)


def ema_update(ema: Any, params: Any, decay: float, step: Int[Array, ""] | int) -> Any:
  """Moves an exponential moving average of parameters one step on.

  The decay of early steps is lower, min(decay, (1 + step) / (10 + step)): otherwise the random
  start would still weigh decay^step, 37% after 1 / (1 - decay) steps. There is no other
  correction of bias, so `ema` is usable at every step; it starts as a copy of `params`.

  Args:
    ema: the average so far, same tree as `params`.
    params: parameters after the step's update.
    decay: in [0, 1); the average looks back about 1 / (1 - decay) steps.
    step: steps taken before this one, from 0.

  Returns:
    The new average, new arrays.
  """
  step = jnp.asarray(step, jnp.float32)
  kept = jnp.minimum(decay, (1 + step) / (10 + step))
  return jax.tree.map(lambda e, p: e * kept + p * (1 - kept), ema, params)

"""Dropout and drop path, drawn per example so that they do not depend on the number of devices."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from pretrainjax import collectives


def dropout(
  x: Float[Array, "B *N"], *, rate: float, deterministic: bool, rngs: nnx.Rngs | None
) -> Float[Array, "B *N"]:
  """Zeroes single values with probability `rate` and divides the others by 1 - rate.

  Args:
    x: any shape whose first axis is the example.
    rate: the probability of a zero, in [0, 1).
    deterministic: True returns `x` as it is.
    rngs: equal on all devices; unused where nothing is dropped.

  Raises:
    ValueError: where `rngs` is needed and None.
  """
  if deterministic or rate == 0:
    return x
  keep = _bernoulli(_key(rngs), 1 - rate, x.shape)
  return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))


def drop_path(
  x: Float[Array, "B *N"],
  *,
  rate: Float[Array, ""] | None,
  deterministic: bool,
  rngs: nnx.Rngs | None,
) -> Float[Array, "B *N"]:
  """Zeroes whole examples of a residual branch and divides the others by 1 - rate.

  Args:
    x: the branch's output, first axis the example.
    rate: in [0, 1); an array since it differs from layer to layer, or None to drop nothing.
    deterministic: True returns `x` as it is.
    rngs: equal on all devices; unused where nothing is dropped.

  Raises:
    ValueError: where `rngs` is needed and None.

  Reference: arXiv 1603.09382, with the scaling of DeiT, arXiv 2012.12877.
  """
  if deterministic or rate is None:
    return x
  keep = _bernoulli(_key(rngs), 1 - rate, x.shape[:1])
  factor = jnp.where(keep, 1 / (1 - rate), 0.0).astype(x.dtype)
  return x * factor.reshape(-1, *[1] * (x.ndim - 1))


def _key(rngs: nnx.Rngs | None) -> Key[Array, ""]:
  if rngs is None:
    raise ValueError("deterministic=False with dropout or drop path needs rngs=")
  return rngs.dropout()


def _bernoulli(key, probability, shape):
  keys = collectives.example_keys(key, shape[0])
  return jax.vmap(lambda k: jax.random.bernoulli(k, probability, shape[1:]))(keys)

"""Means over the tokens of the whole batch, however they are spread over devices."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pretrainjax import collectives


def token_weights(weights: Float[Array, "*M"] | Bool[Array, "*M"]) -> Float[Array, "*M"]:
  """Weights as shares: a sum with them, averaged over devices, is the batch's weighted mean.

  Args:
    weights: 0 or above, or True where a token counts. If all of the batch are 0, so are shares.

  >>> token_weights(jnp.array([True, False, True])).tolist()
  [0.5, 0.0, 0.5]
  """
  weights = weights.astype(jnp.float32)
  count = collectives.mean(jnp.sum(weights))
  return weights / jnp.maximum(count, 1e-6)


def token_mean(values: Float[Array, "*M"], weights: Float[Array, "*M"]) -> Float[Array, ""]:
  """The weighted mean over tokens, such that the mean over devices is the whole batch's.

  A mean on each device by itself would make a token count more where there are fewer of them.

  Args:
    values: one a token.
    weights: 0 or above, see `token_weights`.

  >>> token_mean(jnp.array([1.0, 5.0, 3.0]), jnp.array([1.0, 0.0, 1.0])).tolist()
  2.0
  """
  return jnp.sum(values.astype(jnp.float32) * token_weights(weights))

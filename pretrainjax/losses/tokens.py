"""Means over the tokens of the whole batch, however they are spread over devices."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pretrainjax import collectives


def token_weights(weights: Float[Array, "*M"] | Bool[Array, "*M"]) -> Float[Array, "*M"]:
  """Divides weights by their sum a device, so that a sum with them is the batch's weighted mean.

      shares = weights / mean over devices of (sum of a device's weights)

  The sum of values * shares on each device, averaged over devices, is the weighted mean of all.

  Args:
    weights: numbers of 0 or above, or True where a token counts. If all of the batch are 0, so are
      the shares.

  >>> token_weights(jnp.array([True, False, True])).tolist()
  [0.5, 0.0, 0.5]
  """
  weights = weights.astype(jnp.float32)
  count = collectives.mean(jnp.sum(weights))
  return weights / jnp.maximum(count, 1e-6)


def token_mean(
  values: Float[Array, "*M"], weights: Float[Array, "*M"] | Bool[Array, "*M"]
) -> Float[Array, ""]:
  """The weighted mean over tokens, such that the mean over devices is the whole batch's.

      sum_m weights_m * values_m / mean over devices of (sum_m weights_m)

  A mean on each device by itself would make a token count more where there are fewer of them.

  Args:
    values: one number a token, any float dtype.
    weights: one number of 0 or above a token, or True where it counts, see `token_weights`.

  >>> token_mean(jnp.array([1.0, 5.0, 3.0]), jnp.array([1.0, 0.0, 1.0])).tolist()
  2.0
  """
  return jnp.sum(values.astype(jnp.float32) * token_weights(weights))

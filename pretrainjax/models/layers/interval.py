"""A bias of attention's logits by the time that passed between two events."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.ranges import NonNegativeFloat, PositiveInt

# The natural logarithm of seconds by this is the bucket, as in HSTU's code: each has intervals that
# are a third longer than those of the one before.
_STEP = 0.301


def interval_buckets(
  times: Int[Array | np.ndarray, "B N"], *, num_buckets: int
) -> Int[Array, "B N N"]:
  """The bucket of the interval between each two events: the logarithm of its seconds.

      bucket = min(floor(log(max(1, seconds)) / 0.301), num_buckets - 1)

  Args:
    times: seconds, counted from anywhere.
    num_buckets: the number of buckets, the last of which has all that is longer.

  >>> interval_buckets(np.array([[0, 1, 60]]), num_buckets=64)[0, 0].tolist()
  [0, 0, 13]
  """
  times = jnp.asarray(times)
  seconds = jnp.abs(times[:, :, None] - times[:, None, :])
  bucket = jnp.floor(jnp.log(jnp.maximum(seconds, 1).astype(jnp.float32)) / _STEP)
  return jnp.minimum(bucket.astype(jnp.int32), num_buckets - 1)


class IntervalBias(nnx.Module):
  """A bias of attention's logits by the interval of two events, which all layers share.

  Args:
    num_heads: number of attention heads.
    num_buckets: the number of buckets: 64 reach to seven years.
    init_std: std of the normal distribution that the table starts from.
    rngs: keys for the initial values.

  Reference: HSTU, arXiv 2402.17152, section 3.2, r_ab^t, which counts a query's time from the event
  that is to be predicted and has a table a layer. TiSASRec (10.1145/3336191.3371786) adds vectors
  to keys and values by intervals in units of each user's shortest one.
  """

  def __init__(
    self,
    *,
    num_heads: PositiveInt,
    num_buckets: PositiveInt = 64,
    init_std: NonNegativeFloat = 0.02,
    rngs: nnx.Rngs,
  ):
    self.num_buckets = num_buckets
    init = nnx.initializers.normal(init_std)
    self.table = nnx.Param(init(rngs.params(), (num_buckets, num_heads)))

  def __call__(self, times: Int[Array | np.ndarray, "B N"]) -> Float[Array, "B heads N N"]:
    """The bias of each query and key, in float32."""
    buckets = interval_buckets(times, num_buckets=self.num_buckets)
    return jnp.moveaxis(self.table[...][buckets], 3, 1)  # B N N heads -> B heads N N

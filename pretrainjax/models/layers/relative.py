"""T5's relative positions: a learned number for each head and each range of distances."""

import math

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.ranges import NonNegativeFloat, PositiveInt
from pretrainjax.types import AxisSize


def relative_buckets(
  num_queries: AxisSize,
  num_keys: AxisSize,
  *,
  bidirectional: bool,
  num_buckets: int = 32,
  max_distance: int = 128,
) -> Int[Array, "N S"]:
  """The number of the range that the distance from each query to each key falls into.

  Args:
    num_queries: the number of queries, N.
    num_keys: the number of keys, S.
    bidirectional: keys before and after have buckets of their own; False puts all keys after a
      query into bucket 0, for causal attention.
    num_buckets: the number of all buckets, even; half of them hold one distance each, the others
      ranges that grow with the logarithm.
    max_distance: the distance from which on all are in the last bucket.

  Returns:
    int32 "N S".

  Reference: T5, arXiv 1910.10683, section 2.1; the ranges are those of its code.
  """
  farthest = max(max_distance, num_buckets)  # all that is farther has the bucket of this
  buckets = _buckets(
    np.arange(-farthest, farthest + 1),
    bidirectional=bidirectional,
    num_buckets=num_buckets,
    max_distance=max_distance,
  )
  distance = jnp.arange(num_keys)[None, :] - jnp.arange(num_queries)[:, None]
  return jnp.asarray(buckets)[jnp.clip(distance, -farthest, farthest) + farthest]


def _buckets(
  distance: Int[np.ndarray, " X"], *, bidirectional: bool, num_buckets: int, max_distance: int
) -> Int[np.ndarray, " X"]:
  """The bucket of each distance."""
  offset = np.zeros_like(distance)
  if bidirectional:
    num_buckets //= 2
    offset = (distance > 0) * num_buckets
    distance = np.abs(distance)
  else:
    distance = np.maximum(-distance, 0)
  exact = num_buckets // 2
  # In float32, as the references have it: a distance on a border would fall elsewhere.
  ratio = np.log(np.maximum(distance, 1).astype(np.float32) / exact) / math.log(
    max_distance / exact
  )
  wide = exact + (ratio * (num_buckets - exact)).astype(np.int64)
  bucket = np.where(distance < exact, distance, np.minimum(wide, num_buckets - 1))
  return (offset + bucket).astype(np.int32)


class RelativeBias(nnx.Module):
  """A bias of attention's logits that all layers of a stack share.

  Args:
    num_heads: number of attention heads.
    bidirectional: whether keys before and after a query have buckets of their own, see
      `relative_buckets`.
    num_buckets: the number of all buckets, see `relative_buckets`.
    max_distance: the distance from which on all are in the last bucket.
    init_std: std of the normal distribution that the table starts from.
    rngs: keys for the initial values.
  """

  def __init__(
    self,
    *,
    num_heads: PositiveInt,
    bidirectional: bool,
    num_buckets: PositiveInt = 32,
    max_distance: PositiveInt = 128,
    init_std: NonNegativeFloat,
    rngs: nnx.Rngs,
  ):
    if num_buckets < 4 or num_buckets % 4:
      raise ValueError(f"num_buckets={num_buckets}: expected a multiple of 4, at least 4")
    # Not in a dictionary: the graph of a module that holds one has no hash, and jit asks for it.
    self.bidirectional = bidirectional
    self.num_buckets, self.max_distance = num_buckets, max_distance
    init = nnx.initializers.normal(init_std)
    self.table = nnx.Param(init(rngs.params(), (num_buckets, num_heads)))

  def __call__(self, num_queries: AxisSize, num_keys: AxisSize) -> Float[Array, "1 heads N S"]:
    """The bias of so many neighbouring queries and keys, both from place 0 on, in float32."""
    buckets = relative_buckets(
      num_queries,
      num_keys,
      bidirectional=self.bidirectional,
      num_buckets=self.num_buckets,
      max_distance=self.max_distance,
    )
    return jnp.moveaxis(self.table[...][buckets], 2, 0)[None]  # N S heads -> 1 heads N S

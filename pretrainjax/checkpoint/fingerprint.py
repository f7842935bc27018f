"""A checksum of arrays that is the same for every sharding; Orbax keeps none of array data."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

_UNSIGNED = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}  # 8 bytes become two


def fingerprint(tree: Any) -> dict[str, int]:
  """The 32-bit checksum of each array of a tree, by path.

  Integer sums do not depend on their order, so that it is equal for any sharding. Weights are
  odd, so that any single flipped bit changes it. It guards against damage, not against malice.
  """
  sums = jax.device_get(_sums(tree))
  leaves, _ = jax.tree_util.tree_flatten_with_path(sums)
  return {jax.tree_util.keystr(path): int(value) for path, value in leaves}


@jax.jit
def _sums(tree: Any) -> Any:
  return jax.tree.map(_sum, tree)


def _sum(x: Array) -> UInt32[Array, ""]:
  if x.dtype == jnp.bool_:
    x = x.astype(jnp.uint8)
  bits = jax.lax.bitcast_convert_type(x, _UNSIGNED[x.dtype.itemsize]).astype(jnp.uint32)
  index = _index(bits.shape)
  weight = index * jnp.uint32(2246822519) * jnp.uint32(2) + jnp.uint32(1)
  return jnp.sum((bits ^ (index * jnp.uint32(2654435761))) * weight, dtype=jnp.uint32)


def _index(shape: tuple[int, ...]) -> UInt32[Array, "..."]:
  """The flat index of each element, without flattening, which would gather all shards."""
  index = jnp.zeros(shape, jnp.uint32)
  for axis, size in enumerate(shape):
    index = index * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
  return index

"""Which keys attention may see, described without a mask, and the masks that follow of it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.ranges import PositiveInt
from pretrainjax.types import AxisSize


class Rotary(NamedTuple):
  """Angles of rotary positions, see `layers.rotary`.

  Attributes:
    cos: cosine of the angle of each pair of channels.
    sin: the sines of the same angles, of the same shape.
  """

  cos: Float[Array, "B N half"]
  sin: Float[Array, "B N half"]


@dataclasses.dataclass(frozen=True)
class Scope:
  """Which keys each query sees, and where tokens stand; all conditions must hold.

  Conditions are kept as what they are, not as a mask "B N S": a kernel that knows causality,
  windows or segments then never makes one.

  Attributes:
    valid: True for keys that are present; each row needs one. None means all are.
    segments: the document of each token of a packed row, 0 is padding; tokens see their own
      document only. For attention of a sequence to itself.
    causal: tokens see themselves and what comes before.
    window: tokens see at most so many places to either side; None is no limit.
    rotary: turns queries and keys; None has no such positions.
    bias: added to the logits, "B heads N S", where B may be 1.
  """

  valid: Bool[Array, "B _"] | None = None
  segments: Int[Array, "B _"] | None = None
  causal: bool = False
  window: PositiveInt | None = None
  rotary: Rotary | None = None
  bias: Float[Array, "_ heads _ _"] | None = None

  @property
  def is_plain(self) -> bool:
    """Whether every query sees every key."""
    conditions = (self.valid, self.segments, self.window)
    return not self.causal and all(c is None for c in conditions)


def mask_of(
  scope: Scope, num_queries: AxisSize, num_keys: AxisSize
) -> Bool[Array, "_ 1 N S"] | None:
  """The scope as a mask, True where a query sees a key; None where it sees all.

  Args:
    scope: its bias and rotary are no part of it.
    num_queries: the number of queries, N.
    num_keys: the number of keys, S.

  Returns:
    "B 1 N S"; the first axis is 1 where rows do not differ.
  """
  if scope.is_plain:
    return None
  distance = jnp.arange(num_queries)[:, None] - jnp.arange(num_keys)[None, :]  # N S
  mask = jnp.ones((1, 1, num_queries, num_keys), bool)
  if scope.causal:
    mask = mask & (distance >= 0)[None, None]
  if scope.window is not None:
    mask = mask & (jnp.abs(distance) <= scope.window)[None, None]
  if scope.segments is not None:
    mask = mask & (scope.segments[:, None, :, None] == scope.segments[:, None, None, :])
  if scope.valid is not None:
    mask = mask & scope.valid[:, None, None, :]
  return mask


def positions_of(segments: Int[Array, "B N"]) -> Int[Array, "B N"]:
  """Each token's place in its own document, from 0; documents are runs of equal numbers.

  >>> positions_of(jnp.array([[1, 1, 1, 2, 2, 0, 0]])).tolist()
  [[0, 1, 2, 0, 1, 0, 1]]
  """
  places = jnp.broadcast_to(jnp.arange(segments.shape[1])[None], segments.shape)
  before = jnp.pad(segments[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
  starts = jnp.where(segments != before, places, 0)
  return places - jax.lax.cummax(starts, axis=1)

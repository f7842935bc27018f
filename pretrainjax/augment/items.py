"""What becomes of histories to make views of them: cut out, hidden and put in another order."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from pretrainjax import collectives
from pretrainjax.types import Events


def two_views(
  key: Key[Array, ""],
  events: Events,
  *,
  mask_id: int,
  crop: float,
  mask: float,
  reorder: float,
) -> Events:
  """Two views of each history, made by two different ones of three ways.

  A crop keeps neighbouring events, a mask hides some of them, and reordering shuffles the items of
  neighbouring events.

  Args:
    key: the step's key for views, equal on all devices.
    events: histories of which 0 is padding at the end.
    mask_id: the number of [MASK].
    crop: share of the events that a crop keeps, one at least.
    mask: share of the events that are hidden.
    reorder: share of the events that are shuffled.

  Returns:
    Rows of both views, those of one history neighbours, "2*B T".

  Reference: CL4SRec, arXiv 2010.14395, section 3.3.
  """

  def of_row(key, items, times):
    keys = [jax.random.fold_in(key, i) for i in range(4)]
    count = jnp.sum(items > 0)
    ways = [
      _cropped(keys[0], items, times, count, share=crop),
      (_masked(keys[1], items, count, share=mask, mask_id=mask_id), times),
      (_reordered(keys[2], items, count, share=reorder), times),
    ]
    made = [jnp.stack(parts) for parts in zip(*ways, strict=True)]  # 3 T
    two = jax.random.permutation(keys[3], 3)[:2]
    return made[0][two], made[1][two]

  items, times = jnp.asarray(events.items), jnp.asarray(events.times)
  keys = collectives.example_keys(key, len(items))
  items, times = (x.reshape(-1, x.shape[-1]) for x in jax.vmap(of_row)(keys, items, times))
  return Events(items, times, jnp.repeat(jnp.asarray(events.user), 2))


def _share(count: Int[Array, ""], share: float) -> Int[Array, ""]:
  """A share of the events, rounded down."""
  return jnp.floor(count.astype(jnp.float32) * share + 1e-4).astype(jnp.int32)


def _start(key: Key[Array, ""], count: Int[Array, ""], size: Int[Array, ""]) -> Int[Array, ""]:
  """A random start of `size` neighbouring events."""
  return jax.random.randint(key, (), 0, jnp.maximum(count - size, 0) + 1)


def _cropped(key, items, times, count, *, share: float):
  size = jnp.maximum(_share(count, share), jnp.minimum(count, 1))
  places = jnp.arange(len(items))
  start = _start(key, count, size)
  kept = places < size
  moved = jnp.minimum(places + start, len(items) - 1)
  return jnp.where(kept, items[moved], 0), jnp.where(kept, times[moved], 0)


def _masked(key, items, count, *, share: float, mask_id: int):
  noise = jnp.where(items > 0, jax.random.uniform(key, items.shape), jnp.inf)
  rank = jnp.argsort(jnp.argsort(noise))
  return jnp.where(rank < _share(count, share), mask_id, items)


def _reordered(key, items, count, *, share: float):
  start_key, order_key = jax.random.split(key)
  size = _share(count, share)
  places = jnp.arange(len(items))
  start = _start(start_key, count, size)
  is_shuffled = (places >= start) & (places < start + size)
  # Those before and behind keep their places; noise in [0, 1) decides among the others.
  noise = start + jax.random.uniform(order_key, items.shape) * 0.5
  order = jnp.argsort(jnp.where(is_shuffled, noise, jnp.where(places < start, places - 1, places)))
  return items[order]

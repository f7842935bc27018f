"""Views of histories: what each of three ways keeps, and that two of them differ."""

import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.augment import items as augment
from pretrainjax.types import Events

COUNTS = [10, 7, 1, 0, 10, 10]


def events(copies=1):
  real = np.arange(10)[None] < np.array(COUNTS * copies)[:, None]
  items = np.where(real, 100 + np.arange(10)[None], 0).astype(np.int32)
  times = np.where(real, 1000 - 10 * np.arange(10)[None], 0).astype(np.int32)
  return Events(items, times, np.arange(len(items), dtype=np.int32))


def rows(fn, **options):
  """(items, result) of each row for a function of one row."""
  given = events(20)
  keys = jax.random.split(jax.random.key(0), len(given.items))
  call = jax.vmap(lambda k, i, t: fn(k, i, t, jnp.sum(i > 0), **options))
  return given, jax.device_get(call(keys, given.items, given.times))


def test_a_crop_keeps_neighbours_and_their_times():
  given, (items, times) = rows(augment._cropped, share=0.6)
  starts = set()
  for before, row, when in zip(given.items, items, times, strict=True):
    kept, count = row[row > 0], (before > 0).sum()
    assert len(kept) == max(int(0.6 * count + 1e-4), min(count, 1))
    assert (kept == kept[:1] + np.arange(len(kept))).all() and not row[len(kept) :].any()
    assert (when[: len(kept)] == 1000 - 10 * (kept - 100)).all()
    if count == 10:
      starts.add(int(kept[0]))
  assert starts == {100, 101, 102, 103, 104}


def test_a_mask_hides_a_share():
  def masked(key, items, times, count):
    return augment._masked(key, items, count, share=0.3, mask_id=7)

  given, found = rows(masked)
  assert ((found == 7).sum(1) == np.floor(0.3 * (given.items > 0).sum(1))).all()
  assert ((found == given.items) | (found == 7)).all()


def test_reordering_shuffles_neighbours_alone():
  def reordered(key, items, times, count):
    return augment._reordered(key, items, count, share=0.6)

  given, found = rows(reordered)
  changed = 0
  for before, row in zip(given.items, found, strict=True):
    assert sorted(row) == sorted(before)
    moved = np.nonzero(before != row)[0]
    assert len(moved) == 0 or moved[-1] - moved[0] < 6
    assert (row[before == 0] == 0).all()
    changed += len(moved) > 0
  assert changed > 60


@pytest.mark.parametrize("ways", [(0.6, 0.3, 0.6)])
def test_views_are_made_by_two_different_ways(ways):
  crop, mask, reorder = ways
  given = events(20)
  found = augment.two_views(
    jax.random.key(1), given, mask_id=7, crop=crop, mask=mask, reorder=reorder
  )
  assert found.items.shape == (240, 10)
  assert found.user.tolist() == np.repeat(given.user, 2).tolist()

  def way(before, row):
    if (row > 0).sum() < (before > 0).sum():
      return "crop"
    return "mask" if (row == 7).any() else "reorder"

  pairs = [
    {way(given.items[i], found.items[2 * i]), way(given.items[i], found.items[2 * i + 1])}
    for i in range(120)
    if COUNTS[i % 6] == 10
  ]
  assert all(len(pair) == 2 for pair in pairs)
  assert len({frozenset(pair) for pair in pairs}) == 3


def test_a_row_s_views_do_not_hang_on_the_others():
  batch = tiny.histories(6)
  shares = {"mask_id": 31, "crop": 0.6, "mask": 0.3, "reorder": 0.6}
  whole = Events(batch["items"], batch["times"], batch["user"])
  part = Events(*(x[:2] for x in whole))
  found = [augment.two_views(jax.random.key(2), e, **shares).items for e in (whole, part)]
  np.testing.assert_array_equal(found[0][:4], found[1])

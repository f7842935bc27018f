"""Drawn items: the odds that are said are those of the draws."""

import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.objectives.item_negatives import Popularity, draw_negatives

COUNTS = np.array([0, 50, 30, 10, 5, 0, 2, 1, 0])  # of padding and eight items
ODDS = (COUNTS[1:] + 1) / (COUNTS[1:] + 1).sum()


def popularity():
  found = Popularity(num_items=8)
  found.learn(COUNTS)
  return found


def drawn(kind, targets, counted=None, **changes):
  options = {"num_negatives": 4000, "num_items": 8, "popularity": popularity()} | changes
  counted = targets > 0 if counted is None else counted
  return draw_negatives(jax.random.key(3), targets, counted, kind=kind, **options)


# Targets that are as frequent as items are in training.
TARGETS = jnp.asarray(np.random.default_rng(0).choice(np.arange(1, 9), (50, 40), p=ODDS))


@pytest.mark.parametrize("kind", ["uniform", "popularity", "in_batch", "mixed"])
def test_draws_have_the_odds_that_are_said(kind):
  found = drawn(kind, TARGETS, in_batch_share=0.25)
  flat = np.asarray(found.items).reshape(-1)
  shares = np.bincount(flat, minlength=9)[1:] / len(flat)
  said = dict(zip(flat.tolist(), np.exp(np.asarray(found.log_q)).reshape(-1).tolist(), strict=True))
  assert set(said) == set(range(1, 9))
  np.testing.assert_allclose([said[i] for i in range(1, 9)], shares, atol=0.015)
  expected = {"uniform": np.full(8, 1 / 8), "mixed": 0.25 * ODDS + 0.75 / 8}.get(kind, ODDS)
  np.testing.assert_allclose(shares, expected, atol=0.015)


def test_of_the_batch_only_real_targets_are_drawn():
  targets = jnp.array([[7, 3, 0, 0], [5, 0, 0, 0]])
  found = drawn("in_batch", targets)
  assert set(np.unique(found.items)) == {3, 5, 7}
  nothing = drawn("in_batch", jnp.zeros((2, 4), jnp.int32), num_negatives=4)
  assert np.isfinite(nothing.log_q).all()


def test_a_row_draws_the_same_whoever_stands_beside_it():
  found = drawn("popularity", TARGETS, num_negatives=20)
  fewer = drawn("popularity", TARGETS[:7], num_negatives=20)
  np.testing.assert_array_equal(found.items[:7], fewer.items)
  assert (found.items[0] != found.items[1]).any()


def test_counts_beyond_int32_keep_their_shares():
  huge = Popularity(num_items=3)
  huge.learn(np.array([0, 10**12, 3 * 10**12, 0]))
  odds = np.exp(np.asarray(huge.log_q(jnp.array([1, 2, 3]))))
  np.testing.assert_allclose(odds, [0.25, 0.75, 0], atol=1e-3)
  assert odds[2] > 0


def test_without_counts_all_items_have_the_same_odds():
  odds = np.exp(np.asarray(Popularity(num_items=tiny.NUM_ITEMS).log_q(jnp.arange(1, 31))))
  np.testing.assert_allclose(odds, np.full(30, odds[0]))
  assert not nnx.state(popularity(), nnx.Param)

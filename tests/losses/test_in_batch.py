"""The softmax over the items of a batch, row by row in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.losses.in_batch import in_batch_softmax

RNG = np.random.default_rng(0)
QUERIES, KEYS = RNG.normal(size=(2, 6, 4)).astype(np.float32)
ITEMS = np.array([3, 5, 3, 8, 0, 9], np.int32)


@pytest.mark.parametrize("corrects", [False, True])
def test_equals_numpy_where_equal_items_and_none_are_no_negatives(corrects):
  log_q = RNG.normal(-3, 1, 6).astype(np.float32)
  logits = QUERIES.astype(np.float64) @ KEYS.T - (log_q if corrects else 0)
  given = jnp.asarray(log_q) if corrects else None
  found = in_batch_softmax(*map(jnp.asarray, (QUERIES, KEYS, ITEMS)), log_q=given)
  for row in range(6):
    kept = [j for j in range(6) if j == row or ITEMS[j] not in (0, ITEMS[row])]
    scores = logits[row, kept]
    np.testing.assert_allclose(
      found.loss[row], np.log(np.exp(scores).sum()) - logits[row, row], atol=1e-4
    )
    assert found.correct[row] == (logits[row, row] >= scores.max())


def test_popular_items_are_no_longer_pushed_away():
  """In expectation over batches drawn by odds, the correction gives the full softmax's gradient."""
  rng, odds = np.random.default_rng(1), np.array([0.6, 0.2, 0.1, 0.05, 0.05])
  scores = np.array([0.3, -0.2, 0.5, 0.1, -0.4])
  full = np.exp(scores) / np.exp(scores).sum()
  sums = {True: np.zeros(5), False: np.zeros(5)}
  for _ in range(300):
    items = rng.choice(5, 64, p=odds)
    for corrects, total in sums.items():
      logits = scores[items] - (np.log(odds[items]) if corrects else 0)
      weights = np.exp(logits - logits.max())
      np.add.at(total, items, weights / weights.sum() / 300)
  assert np.abs(sums[True] - full).max() < 0.02 < 0.2 < np.abs(sums[False] - full).max()

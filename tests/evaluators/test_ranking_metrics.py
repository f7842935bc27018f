import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from pretrainjax.evaluators import ranking_metrics as metrics
from pretrainjax.evaluators.ranking_metrics import Ranked

RNG = np.random.default_rng(0)


def one_by_one(scores: np.ndarray, target: int) -> tuple[float, list[int]]:
  """The mean rank of the target over all orders of ties, and the items in order; by a sort."""
  order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
  places = [n for n, i in enumerate(order, start=1) if scores[i] == scores[target]]
  return float(np.mean(places)), order


@pytest.mark.parametrize("k", [1, 5, 10, 40])
def test_ndcg_equals_scikit_learn(k):
  scores = RNG.permuted(np.tile(np.arange(40.0), (30, 1)), axis=1)
  targets = RNG.integers(0, 40, 30)
  ranks = np.array([one_by_one(s, t)[0] for s, t in zip(scores, targets, strict=True)])
  found = metrics.ndcg(ranks, k=k).mean()
  np.testing.assert_allclose(found, ndcg_score(np.eye(40)[targets], scores, k=k), atol=1e-12)


def test_metrics_equal_those_of_lists_item_by_item():
  """Where nothing ties: hits, reciprocal ranks and average precision of explicit lists."""
  scores = RNG.normal(size=(50, 20))
  targets, k = RNG.integers(0, 20, 50), 5
  ranks, hits, precisions, reciprocal = [], [], [], []
  for row, target in zip(scores, targets, strict=True):
    rank, order = one_by_one(row, target)
    listed = order[:k]
    ranks.append(rank)
    hits.append(target in listed)
    precisions.append(
      sum(
        (i == target) * np.mean([j == target for j in listed[: n + 1]])
        for n, i in enumerate(listed)
      )
    )
    reciprocal.append(1 / (order.index(target) + 1))
  ranks = np.array(ranks)
  np.testing.assert_array_equal(metrics.hit_rate(ranks, k=k), hits)
  np.testing.assert_allclose(metrics.average_precision(ranks, k=k), precisions)
  np.testing.assert_allclose(metrics.reciprocal_rank(ranks), reciprocal)


def test_a_tie_counts_half_of_the_others_that_tie():
  rank, _ = one_by_one(np.array([3.0, 1.0, 1.0, 1.0, 0.0]), 2)
  assert rank == 3.0  # the mean of 2, 3 and 4
  np.testing.assert_allclose(metrics.ndcg(np.array([rank]), k=3), 0.5)
  # Of 10 items that tie for the first 10 places the target is at 5.5; of 11 at 6.
  assert metrics.hit_rate(np.array([5.5, 6.0]), k=5).sum() == 0


def test_coverage_and_novelty_are_those_of_what_is_listed():
  top = np.array([[1, 2, 0], [2, 0, 0]])
  assert metrics.coverage(top, num_items=8) == 0.25
  counts = np.array([0, 6, 1, 0, 0])  # with one more each: 7, 2, 1, 1 of 11
  bits = -np.log2(np.array([7, 2, 2]) / 11).mean()
  np.testing.assert_allclose(metrics.novelty(top, counts), bits)
  assert np.isnan(metrics.novelty(np.zeros((2, 3), int), counts))


def test_what_is_seldom_weighs_more_in_the_debiased_mean():
  counts = np.array([0, 99, 0])
  values, targets = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1, 1, 1, 2])
  # A weight of 1 for the popular one, of sqrt(100) for the other.
  np.testing.assert_allclose(metrics.debiased(values, targets, counts), 3 / 13)
  even = np.array([0, 5, 5])
  np.testing.assert_allclose(metrics.debiased(values, targets, even), values.mean())


def test_cold_and_warm_users_are_told_apart_where_there_are_both():
  ranks = np.array([1.0, 3.0, 100.0])
  ranked, targets = Ranked(ranks, np.array([[1], [1], [1]])), np.array([1, 1, 2])
  how = {"counts": np.array([0, 3, 1]), "k": (10,)}
  cold = np.array([False, True, True])
  found = metrics.ranking_metrics(ranked, targets, cold=cold, **how)
  assert found["warm_ndcg@10"] == 1.0 and found["cold_ndcg@10"] == 0.25
  assert found["cold_hr@10"] == 0.5
  np.testing.assert_allclose(found["ndcg@10"], 0.5)
  np.testing.assert_allclose(found["mrr"], (1 + 1 / 3 + 0.01) / 3)
  alone = metrics.ranking_metrics(ranked, targets, cold=~cold | cold, **how)
  assert not [name for name in alone if name.startswith(("cold", "warm"))]

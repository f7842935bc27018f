import numpy as np
import pytest

from pretrainjax.evaluators import ranked_items
from pretrainjax.evaluators.ranked_items import Asked, rank_items, rank_scores

RNG = np.random.default_rng(0)
NUM_USERS, NUM_ITEMS, WIDTH, K = 13, 29, 4, 6


def asked_of(hidden: list[list[int]], targets: list[int]) -> Asked:
  offsets = np.cumsum([0, *map(len, hidden)])
  return Asked(np.array(targets), offsets, np.array(sum(hidden, []), np.int32))


@pytest.fixture
def case():
  """Whole numbers, so that many scores tie and none is rounded."""
  queries = RNG.integers(-1, 2, (NUM_USERS, WIDTH)).astype(np.float32)
  candidates = RNG.integers(-1, 2, (NUM_ITEMS + 1, WIDTH)).astype(np.float32)
  bias = RNG.integers(-1, 2, NUM_ITEMS + 1).astype(np.float32)
  bias[0] = 100  # of padding, which is never recommended
  hidden = [RNG.integers(1, NUM_ITEMS + 1, n).tolist() for n in RNG.integers(0, 8, NUM_USERS)]
  targets = RNG.integers(1, NUM_ITEMS + 1, NUM_USERS).tolist()
  hidden[3] = [targets[3], 1, targets[3]]  # the target was taken before
  return queries, candidates, bias, asked_of(hidden, targets)


def reference(scores: np.ndarray, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
  ranks, tops = [], []
  for user, target in enumerate(asked.targets):
    hidden = {*asked.hidden[asked.offsets[user] : asked.offsets[user + 1]].tolist()} - {target}
    shown = [i for i in range(1, NUM_ITEMS + 1) if i not in hidden]
    own = scores[user, target]
    others = [scores[user, i] for i in shown if i != target]
    ranks.append(1 + sum(s > own for s in others) + sum(s == own for s in others) / 2)
    tops.append(sorted(shown, key=lambda i: (-scores[user, i], i))[:K])
  return np.array(ranks), np.array(tops)


@pytest.mark.parametrize(("users", "items"), [(1024, 2**16), (4, 2**16), (5, 7), (1, 1)])
def test_ranks_and_lists_equal_a_sort_in_chunks_of_any_size(case, users, items, monkeypatch):
  monkeypatch.setattr(ranked_items, "_MAX_USERS", users)
  monkeypatch.setattr(ranked_items, "_MAX_ITEMS", items)
  queries, candidates, bias, asked = case
  ranks, tops = reference(queries @ candidates.T + bias, asked)
  assert (ranks % 1 == 0.5).any()  # some tie
  found = rank_items(queries, candidates, bias, asked, k=K)
  np.testing.assert_array_equal(found.ranks, ranks)
  np.testing.assert_array_equal(found.top, tops)


def test_made_scores_are_ranked_as_products_are(case, monkeypatch):
  monkeypatch.setattr(ranked_items, "_MAX_USERS", 5)
  queries, candidates, bias, asked = case
  scores = queries @ candidates.T + bias
  found = rank_scores(lambda rows: scores[rows], asked, k=K, num_items=NUM_ITEMS)
  for one, other in zip(found, rank_items(queries, candidates, bias, asked, k=K), strict=True):
    np.testing.assert_array_equal(one, other)


def test_no_bias_is_one_of_zeros_and_padding_is_not_listed():
  queries, candidates = np.ones((1, 1), np.float32), np.array([[9], [1], [2]], np.float32)
  found = rank_items(queries, candidates, None, asked_of([[2]], [1]), k=5)
  assert found.ranks.tolist() == [1.0] and found.top.tolist() == [[1, 0, 0, 0, 0]]


def test_scores_at_once_are_bounded():
  for columns in (10, 2**16, 2**20, 2**30):
    size = ranked_items.users_at_once(columns, num_users=10**6)
    assert size == 1 or size * columns <= ranked_items._MAX_SCORES
  assert ranked_items.users_at_once(10, num_users=3) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(case, value):
  queries, candidates, bias, asked = case
  queries[2, 0] = value
  with pytest.raises(ValueError, match="not finite"):
    rank_items(queries, candidates, bias, asked, k=K)

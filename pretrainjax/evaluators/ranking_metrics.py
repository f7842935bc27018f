"""Numbers of recommendations: pure functions of the ranks of targets, and of lists of items.

A row is a user who took one item, the target, next. With ties a rank may be a half, see
`ranked_items`. A rank beyond k counts nothing.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# Of `_propensity`: 1909.03601, section 5.
PROPENSITY_POWER = 0.5


class Ranked(NamedTuple):
  """Where a recommender places what users took.

  Attributes:
    ranks: the rank of each target among all items that may be recommended; 1 is the first.
    top: the item numbers of the first places, best first; 0 where no item is left.
  """

  ranks: Float[np.ndarray, " N"]
  top: Int[np.ndarray, "N K"]


def ndcg(ranks: Float[np.ndarray, " N"], *, k: int) -> Float[np.ndarray, " N"]:
  """Normalised discounted cumulative gain of one target a row, 1 / log2(1 + rank) up to k.

  >>> ndcg(np.array([1.0, 3.0, 11.0]), k=10)
  array([1. , 0.5, 0. ])

  Reference: Jarvelin and Kekalainen 2002 (not on arXiv); with one target the ideal gain is 1.
  """
  return np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)


def hit_rate(ranks: Float[np.ndarray, " N"], *, k: int) -> Float[np.ndarray, " N"]:
  """Whether the target is among the first k; with one target it is recall at k, too."""
  return (ranks <= k).astype(np.float64)


def reciprocal_rank(ranks: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
  """1 / rank, without an end."""
  return 1 / ranks


def average_precision(ranks: Float[np.ndarray, " N"], *, k: int) -> Float[np.ndarray, " N"]:
  """Average precision at k: with one target a row it is 1 / rank up to k.

  >>> average_precision(np.array([2.0, 11.0]), k=10)
  array([0.5, 0. ])
  """
  return np.where(ranks <= k, 1 / ranks, 0.0)


def coverage(top: Int[np.ndarray, "N K"], *, num_items: int) -> float:
  """The share of the catalogue that is in anybody's list.

  Args:
    top: the item numbers of all lists, 1 .. num_items; 0 is none.
    num_items: the number of items of the catalogue, those without any event among them.
  """
  return len(np.setdiff1d(top, [0])) / num_items


def novelty(top: Int[np.ndarray, "N K"], counts: Int[np.ndarray, " V"]) -> float:
  """The mean self-information of what is listed, in bits: - log2 of an item's share of all events.

  Args:
    top: the item numbers of all lists; 0 is none.
    counts: the events of each item in training; row 0 is padding.

  Reference: Zhou et al. 2010, 0808.2670, who take the share of users. Ours takes that of events,
    each item with one more, so that an item without any has a number.
  """
  share = (counts[1:] + 1) / np.sum(counts[1:] + 1)
  listed = top[top > 0]
  return float(-np.log2(share[listed - 1]).mean()) if len(listed) else float("nan")


def _propensity(counts: Int[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
  """How likely an item is seen at all: the root of its events in training over the most.

  Args:
    counts: the events of each item in training; row 0 is padding.

  Reference: Saito et al. 2020, 1909.03601. Ours gives each item one event more, so that what
    nobody took in training has a finite weight.
  """
  return ((counts + 1) / (counts[1:].max(initial=0) + 1)) ** PROPENSITY_POWER


def debiased(
  values: Float[np.ndarray, " N"],
  targets: Int[np.ndarray, " N"],
  counts: Int[np.ndarray, " V"],
) -> float:
  """The mean of a metric, each row by 1 / propensity of its target: sum v / p over sum 1 / p.

  A recommender that only knows what is popular has a low one.

  Args:
    values: the metric of each row, such as its NDCG.
    targets: the item number of each row's target.
    counts: the events of each item in training; row 0 is padding.

  Reference: the self-normalised estimator of Schnabel et al. 2016, 1602.05352, section 3.
  """
  weights = 1 / _propensity(counts)[targets]
  return float(np.sum(values * weights) / np.sum(weights))


def ranking_metrics(
  ranked: Ranked,
  targets: Int[np.ndarray, " N"],
  *,
  counts: Int[np.ndarray, " V"],
  cold: Bool[np.ndarray, " N"],
  k: tuple[int, ...],
) -> dict[str, float]:
  """All numbers by name; those of users with and without training events where there are both.

  Args:
    ranked: the ranks of the targets, and lists of at least the largest k.
    targets: the item number of each row's target.
    counts: the events of each item in training; row 0 is padding.
    cold: True for users without any event in training.
    k: the lengths of lists that are measured.
  """
  ranks, metrics = ranked.ranks, {}
  for n in k:
    gains = ndcg(ranks, k=n)
    metrics |= {
      f"ndcg@{n}": float(gains.mean()),
      f"hr@{n}": float(hit_rate(ranks, k=n).mean()),
      f"map@{n}": float(average_precision(ranks, k=n).mean()),
      f"debiased_ndcg@{n}": debiased(gains, targets, counts),
      f"coverage@{n}": coverage(ranked.top[:, :n], num_items=len(counts) - 1),
      f"novelty@{n}": novelty(ranked.top[:, :n], counts),
    }
  metrics["mrr"] = float(reciprocal_rank(ranks).mean())
  if cold.any() and not cold.all():
    for name, rows in (("warm", ~cold), ("cold", cold)):
      metrics |= {f"{name}_ndcg@{n}": float(ndcg(ranks[rows], k=n).mean()) for n in k}
      metrics |= {f"{name}_hr@{n}": float(hit_rate(ranks[rows], k=n).mean()) for n in k}
  return metrics

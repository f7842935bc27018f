"""Items like those of a history, by who took both."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pretrainjax.data.interactions import Interactions
from pretrainjax.evaluators.item_baseline import (
  ItemBaseline,
  Pairs,
  Scorer,
  history_pairs,
  user_pairs,
)
from pretrainjax.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt

# Pairs of items that are counted at once, 8 bytes each.
_MAX_PAIRS = 2**21


class Neighbours(NamedTuple):
  """The nearest neighbours of items, sorted by the neighbour.

  Attributes:
    offsets: where the entries with each item as a neighbour begin, and the end of the last one's.
    items: the items that have it as one.
    similarities: how similar the two are.
  """

  offsets: Int[np.ndarray, " V1"]
  items: Int[np.ndarray, " E"]
  similarities: Float[np.ndarray, " E"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemKNN(ItemBaseline):
  """An item's score is the sum of its similarities to those of its neighbours that a user took.

    s(i, j) = users of both / (sqrt(users of i * users of j) + shrinkage)

  Attributes:
    neighbours: the numbers of nearest neighbours of each item that are tried.
    shrinkage: the values that are tried; it takes from what few users took.

  Reference: Sarwar et al. 2001 (not on arXiv), with the shrinkage of 1907.06902, whose tuned
    item-kNN was ahead of many networks.
  """

  name: str = "item_knn"
  neighbours: tuple[PositiveInt, ...] = (100,)
  shrinkage: tuple[NonNegativeFloat | NonNegativeInt, ...] = (10,)
  tuned: ClassVar[tuple[str, ...]] = ("neighbours", "shrinkage")

  def fitted(self, train: Interactions, **options: Any) -> Scorer:
    """See `ItemBaseline`."""
    nearest = neighbours_of(
      user_pairs(train),
      num_items=train.num_items,
      neighbours=options["neighbours"],
      shrinkage=float(options["shrinkage"]),
    )

    def scores(rows: Interactions, part: slice) -> np.ndarray:
      return _scores(history_pairs(rows, part), nearest)

    return scores


def neighbours_of(pairs: Pairs, *, num_items: int, neighbours: int, shrinkage: float) -> Neighbours:
  """The nearest neighbours of each item; of equal ones the lower number is nearer.

  Args:
    pairs: who took what in training.
    num_items: the number of items, counted from 1.
    neighbours: the most neighbours that an item has.
    shrinkage: what is added to the norm.
  """
  users = np.bincount(pairs.items, minlength=num_items + 1)
  found = []
  for items, others, both in _counted_together(pairs, num_items):
    norm = np.sqrt(users[items] * users[others]) + shrinkage
    similar = both / norm
    order = np.lexsort((others, -similar, items))
    items, others, similar = items[order], others[order], similar[order]
    first = np.searchsorted(items, items)  # of each item's entries
    near = np.arange(len(items)) - first < neighbours
    found.append((others[near], items[near], similar[near]))
  others, items, similar = (np.concatenate(column) for column in zip(*found, strict=True))
  order = np.argsort(others, kind="stable")
  offsets = np.searchsorted(others[order], np.arange(num_items + 2))
  return Neighbours(offsets, items[order], similar[order])


def _counted_together(
  pairs: Pairs, num_items: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Items, others, and how many users took both: those of some items after the other's."""
  lengths = np.diff(pairs.offsets)
  users = np.repeat(np.arange(len(lengths)), lengths)
  order = np.argsort(pairs.items, kind="stable")
  items, users = pairs.items[order], users[order]
  ends = np.cumsum(lengths[users])
  start = 0
  while start < len(items):
    before = ends[start - 1] if start else 0
    stop = max(int(np.searchsorted(ends, before + _MAX_PAIRS, side="right")), start + 1)
    stop = int(np.searchsorted(items, items[stop - 1], side="right"))  # an item's events together
    some = users[start:stop]
    others = _gathered(pairs.items, pairs.offsets[some], lengths[some])
    keys = np.repeat(items[start:stop], lengths[some]) * (num_items + 1) + others
    keys, both = _distinct(keys, above=int(items[start]) * (num_items + 1))
    one, other = np.divmod(keys, num_items + 1)
    differ = one != other
    yield one[differ], other[differ], both[differ]
    start = stop


def _distinct(keys: np.ndarray, *, above: int) -> tuple[np.ndarray, np.ndarray]:
  """The different keys, ascending, and how often each is there; without a sort where few may be."""
  if keys.max() - above < _MAX_PAIRS:
    counts = np.bincount(keys - above)
    found = np.flatnonzero(counts)
    return found + above, counts[found]
  return np.unique(keys, return_counts=True)


def _scores(histories: Pairs, nearest: Neighbours) -> Float[np.ndarray, "B V"]:
  """The sums of similarities of all items to those of each history."""
  size, width = len(histories.offsets) - 1, len(nearest.offsets) - 1
  starts = nearest.offsets[histories.items]
  lengths = nearest.offsets[histories.items + 1] - starts
  rows = np.repeat(np.arange(size), np.diff(histories.offsets))
  keys = np.repeat(rows, lengths) * width + _gathered(nearest.items, starts, lengths)
  weights = _gathered(nearest.similarities, starts, lengths)
  sums = np.bincount(keys, weights=weights, minlength=size * width)
  return sums.reshape(size, width).astype(np.float32)


def _gathered(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
  """The stretches of an array, one behind the other."""
  ends = np.cumsum(lengths)
  places = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
  return values[places]

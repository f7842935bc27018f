"""EASE: the linear model of items by items, in closed form."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from pretrainjax.data.interactions import Interactions
from pretrainjax.evaluators.item_baseline import (
  ItemBaseline,
  Pairs,
  Scorer,
  history_pairs,
  user_pairs,
)
from pretrainjax.ranges import PositiveFloat, PositiveInt

_USERS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class EASE(ItemBaseline):
  """Scores X B, where B has no diagonal and gives X back from itself as well as it can.

    P = (X^T X + l2 I)^-1,   B = I - P / diag(P)

  X is 1 where a user took an item, else 0. The matrix of items by items is dense: 20,000 items
  take 10 GB and minutes.

  Attributes:
    l2: the values that are tried; of several the validation split chooses.
    max_items: it is left out for more items.

  Reference: Steck 2019, 1905.03375.
  """

  name: str = "ease"
  l2: tuple[PositiveFloat | PositiveInt, ...] = (500,)
  max_items: PositiveInt = 20_000
  tuned: ClassVar[tuple[str, ...]] = ("l2",)

  def reason_to_leave_out(self, *, key: str) -> str | None:
    """See `Evaluation`."""
    count = self.train.sources[0].noted("num_items", int)
    if count > self.max_items:
      return f"{key}.max_items is {self.max_items:,}, and the catalogue has {count:,}"
    return super().reason_to_leave_out(key=key)

  def fitted(self, train: Interactions, **options: Any) -> Scorer:
    """See `ItemBaseline`."""
    pairs = user_pairs(train)
    weights = ease_weights(pairs, num_items=train.num_items, l2=float(options["l2"]))

    def scores(rows: Interactions, part: slice) -> np.ndarray:
      return _dense(history_pairs(rows, part), num_items=train.num_items) @ weights

    return scores


def ease_weights(pairs: Pairs, *, num_items: int, l2: float) -> Float[np.ndarray, "V V"]:
  """The matrix B, float32; row and column 0 are those of padding, and 0.

  Args:
    pairs: who took what in training.
    num_items: the number of items, counted from 1.
    l2: the penalty on the squares of B.
  """
  gram = np.zeros((num_items + 1, num_items + 1), np.float64)
  for start in range(0, len(pairs.offsets) - 1, _USERS_AT_ONCE):
    offsets = pairs.offsets[start : start + _USERS_AT_ONCE + 1]
    some = Pairs(offsets - offsets[0], pairs.items[offsets[0] : offsets[-1]])
    took = _dense(some, num_items=num_items)
    gram += took.T @ took  # whole numbers below 2^24: exact
  gram[np.diag_indices_from(gram)] += l2
  inverse = np.linalg.inv(gram)
  weights = (inverse / -np.diag(inverse)[None]).astype(np.float32)
  np.fill_diagonal(weights, 0.0)
  return weights


def _dense(pairs: Pairs, *, num_items: int) -> Float[np.ndarray, "B V"]:
  lengths = np.diff(pairs.offsets)
  found = np.zeros((len(lengths), num_items + 1), np.float32)
  found[np.repeat(np.arange(len(lengths)), lengths), pairs.items] = 1.0
  return found

"""What all took most, and what all took most of late: the baselines that logs are famous for."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from pretrainjax.data.interactions import Interactions
from pretrainjax.evaluators.item_baseline import ItemBaseline, Scorer, event_counts
from pretrainjax.ranges import PositiveFloat, PositiveInt

_DAY = 86_400


@dataclasses.dataclass(frozen=True, kw_only=True)
class Popularity(ItemBaseline):
  """Every user gets the items with the most training events."""

  name: str = "popularity"

  def fitted(self, train: Interactions, **options: Any) -> Scorer:
    """See `ItemBaseline`."""
    return _same_for_all(event_counts(train.items, num_items=train.num_items))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowedPopularity(ItemBaseline):
  """Every user gets the items with the most training events of the last days before training ends.

  Attributes:
    days: the lengths of the window that are tried; of several the validation split chooses.

  Reference: the baseline of eSASRec, 2508.06450, on global temporal splits (7 days).
  """

  name: str = "windowed_popularity"
  days: tuple[PositiveFloat | PositiveInt, ...] = (7,)
  tuned: ClassVar[tuple[str, ...]] = ("days",)

  def reason_to_leave_out(self, *, key: str) -> str | None:
    """See `Evaluation`."""
    if self.train.sources[0].prepared.get("times") == "rows":
      return f"{key}.train has no times"
    return super().reason_to_leave_out(key=key)

  def fitted(self, train: Interactions, **options: Any) -> Scorer:
    """See `ItemBaseline`."""
    return _same_for_all(windowed_counts(train, days=float(options["days"])))


def windowed_counts(train: Interactions, *, days: float) -> Float[np.ndarray, " V"]:
  """The events of each item in the last days of training.

  Of equal ones those come first that have more events in all of training, whose share of the most
  is added, less than 1.

  Args:
    train: the records of the training split.
    days: the length of the window, which ends with the newest event.
  """
  size = {"num_items": train.num_items}
  all_events = event_counts(train.items, **size)
  newest = train.times.max(initial=0)
  recent = event_counts(train.items[train.times > newest - days * _DAY], **size)
  return recent + all_events / (all_events.max() + 1)


def _same_for_all(scores: Float[np.ndarray, " V"]) -> Scorer:
  # float32 holds counts to 2^24, and of them no fraction: places, the lowest first, it does.
  _, places = np.unique(scores, return_inverse=True)
  row = places.astype(np.float32)
  return lambda rows, part: np.tile(row, (part.stop - part.start, 1))

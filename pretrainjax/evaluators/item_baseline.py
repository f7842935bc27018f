"""What baselines of recommendation share: they count in the training split, and need no network."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pretrainjax.data.interactions import Interactions
from pretrainjax.data.item_data import ItemData
from pretrainjax.evaluators.base import Outcome
from pretrainjax.evaluators.ranked_items import rank_scores
from pretrainjax.evaluators.ranking_base import RankingEvaluation, asked_of, read_split
from pretrainjax.evaluators.ranking_metrics import Ranked, ndcg

# From histories and a slice of their rows to the scores of all items, float32 "B V".
Scorer = Callable[[Interactions, slice], np.ndarray]


class Pairs(NamedTuple):
  """Who took what, each user and item once: user u took items[offsets[u]:offsets[u + 1]].

  Attributes:
    offsets: where each user's items begin, and the end of the last one's.
    items: the items of all users, ascending in each.
  """

  offsets: Int[np.ndarray, " U1"]
  items: Int[np.ndarray, " E"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemBaseline(RankingEvaluation):
  """Base of baselines: `fitted` counts in the training events, and scores items for histories.

  Of several values of a field in `tuned` the one with the highest NDCG at the first k on the
  validation split is taken, and told among the metrics.

  Attributes:
    train: the training split of the set.
    validation: the split that values are chosen on; None where there is nothing to choose.
  """

  train: ItemData
  validation: ItemData | None = None
  measures_network: ClassVar[bool] = False
  tuned: ClassVar[tuple[str, ...]] = ()

  def __post_init__(self):
    super().__post_init__()
    if self.train.split.partition("[")[0] != "train":
      raise ValueError(
        f"train.split: found '{self.train.split}', expected 'train', or a part of it"
      )
    several = [name for name in self.tuned if len(getattr(self, name)) > 1]
    if several and self.validation is None:
      raise ValueError(f"{several[0]}: found several values, and no validation split to choose by")

  def fitted(self, train: Interactions, **options: Any) -> Scorer:
    """Counts in the training events.

    Args:
      train: the records of the training split.
      **options: one value of each field in `tuned`.
    """
    raise NotImplementedError

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`; no subject is looked at."""
    del subject
    train = read_split(self.train, field="train")
    chosen = self._chosen(train)
    outcome = self.numbers(self._ranked(self.fitted(train, **chosen), self.rows))
    told = {name: float(value) for name, value in chosen.items()}
    return outcome._replace(metrics=outcome.metrics | told)

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"features": "none: counts of training events"}

  def _chosen(self, train: Interactions) -> Mapping[str, Any]:
    values = itertools.product(*(getattr(self, name) for name in self.tuned))
    options = [dict(zip(self.tuned, some, strict=True)) for some in values]
    if len(options) == 1:
      return options[0]
    rows = read_split(self.validation, field="validation")
    gains = [
      ndcg(self._ranked(self.fitted(train, **some), rows).ranks, k=self.k[0]).mean()
      for some in options
    ]
    return options[int(np.argmax(gains))]  # of equal ones the first

  def _ranked(self, scorer: Scorer, rows: Interactions) -> Ranked:
    asked = asked_of(rows, seen=self.seen)
    size = {"k": max(self.k), "num_items": rows.num_items}
    return rank_scores(lambda part: scorer(rows, part), asked, **size)


def event_counts(items: Int[np.ndarray, " E"], *, num_items: int) -> Float[np.ndarray, " V"]:
  """The number of events of each item, float64; row 0 is padding."""
  return np.bincount(items, minlength=num_items + 1).astype(np.float64)


def user_pairs(rows: Interactions) -> Pairs:
  """Who took what in training, however often; a user's records are one."""
  users = np.repeat(rows.users, np.diff(rows.offsets))
  width = rows.num_items + 1
  keys = np.unique(users * width + rows.items)
  offsets = np.searchsorted(keys, np.arange(rows.num_users + 1) * width)
  return Pairs(offsets, keys % width)


def history_pairs(rows: Interactions, part: slice) -> Pairs:
  """What is in the histories of some records, however often."""
  numbers = np.arange(part.start, part.stop)
  events = rows.items[rows.offsets[part.start] : rows.offsets[part.stop]]
  width, lengths = rows.num_items + 1, np.diff(rows.offsets)[numbers]
  keys = np.unique(np.repeat(np.arange(len(numbers)), lengths) * width + events)
  return Pairs(np.searchsorted(keys, np.arange(len(numbers) + 1) * width), keys % width)

"""What all measurements of recommendations share: who is asked, what is hidden, how it is said."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from pretrainjax.data.interactions import Interactions, protocol_of
from pretrainjax.data.item_data import ItemData
from pretrainjax.data.item_table import ItemTable
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.evaluators.base import Evaluation, Outcome
from pretrainjax.evaluators.features import chosen_examples
from pretrainjax.evaluators.ranked_items import Asked
from pretrainjax.evaluators.ranking_metrics import PROPENSITY_POWER, Ranked, ranking_metrics
from pretrainjax.ranges import PositiveInt, Seed
from pretrainjax.untrusted import BadFile


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingEvaluation(Evaluation):
  """Base of evaluators that place what users took next among all items of the catalogue.

  Attributes:
    data: the split of a set of interactions, "validation" or "test".
    k: the lengths of the lists that are measured.
    seen: whether the items of a user's history are "filtered" out of the ranking (what the user
      took next stays, though it be one of them), or may be "shown" again.
    max_examples: take a random subset of so many; None takes all.
    seed: the seed of the subset.
  """

  data: ItemData
  k: tuple[PositiveInt, ...] = (10,)
  seen: Literal["filtered", "shown"] = "filtered"
  max_examples: PositiveInt | None = None
  seed: Seed = 0

  def numbers(self, ranked: Ranked) -> Outcome:
    """The metrics of ranks and lists of the examples, in their order."""
    rows = self.rows
    how = {"counts": self.counts, "cold": rows.num_train == 0, "k": self.k}
    return Outcome(ranking_metrics(ranked, rows.targets, **how))

  @functools.cached_property
  def rows(self) -> Interactions:
    """The examples: a history and a target each.

    Raises:
      ValueError: for a split without targets.
    """
    rows = read_split(self.data, field="data")
    chosen = chosen_examples(len(rows), self.max_examples, self.seed)
    rows = rows if chosen is None else taken(rows, chosen)
    if not rows.targets.all():
      raise ValueError(f"data: found split '{self.data.split}', expected one with targets, as test")
    return rows

  @property
  def asked(self) -> Asked:
    """The targets of the examples, and the items that are hidden from each."""
    return asked_of(self.rows, seen=self.seen)

  @functools.cached_property
  def counts(self) -> Int[np.ndarray, " V"]:
    """The number of events of each item in training; row 0 is padding."""
    return item_table(_source(self.data)).counts

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    source, rows = _source(self.data), self.rows
    return super().protocol() | {
      "log": described(protocol_of(source)),
      "candidates": f"all {rows.num_items} items",
      "ties": "half of the others count as above",
      "num_examples": len(rows),
      "num_cold": int(np.sum(rows.num_train == 0)),
      "debiased": f"weight (train events + 1)^-{PROPENSITY_POWER:g}, self-normalised",
    }


def read_split(data: ItemData, *, field: str) -> Interactions:
  """All records of a split that the data's options leave.

  Args:
    data: the split of one set.
    field: the field of the evaluator that holds it, for messages.

  Raises:
    ValueError: for several sets at once.
  """
  found = Interactions.read(_source(data, field=field))
  (used,) = data.rows_used
  rows = np.unique(used // data.num_pieces[0])
  return found if len(rows) == len(found) else taken(found, rows)


def taken(rows: Interactions, numbers: Int[np.ndarray, " S"]) -> Interactions:
  """Some of the records, in the order of the numbers."""
  lengths = np.diff(rows.offsets)[numbers]
  offsets = np.cumsum([0, *lengths], dtype=np.int64)
  events = np.repeat(rows.offsets[numbers] - offsets[:-1], lengths) + np.arange(offsets[-1])
  names = ("users", "targets", "target_times", "num_train")
  of_records = {name: getattr(rows, name)[numbers] for name in names}
  of_events = {"items": rows.items[events], "times": rows.times[events]}
  return dataclasses.replace(rows, offsets=offsets, **of_records, **of_events)


def asked_of(rows: Interactions, *, seen: Literal["filtered", "shown"]) -> Asked:
  """The targets of some records, with their histories hidden or not."""
  if seen == "filtered":
    return Asked(rows.targets, rows.offsets, rows.items)
  return Asked(rows.targets, np.zeros_like(rows.offsets), rows.items[:0])


def item_table(source: PreparedSplit) -> ItemTable:
  """The items of a prepared set.

  Raises:
    UserError: for a table that is missing or damaged.
  """
  try:
    return ItemTable.load(source.folder)
  except BadFile as error:
    raise UserError(f"--{source.key}.datasets: '{error.path}' {error.reason}") from error


def described(protocol: Mapping[str, Any]) -> str:
  """How a log was filtered and split, in a line.

  >>> described({"split": "leave_one_out", "min_user_events": 5, "min_item_events": 5})
  'leave_one_out; users of 5 events, items of 5'
  """
  parts = [str(protocol.get("split"))]
  if protocol.get("split") == "temporal":
    words = ("quantile", "cut", "target", "validation")
    parts[0] += " (" + ", ".join(f"{word} {protocol.get(word)}" for word in words) + ")"
  users, items = (protocol.get(f"min_{kind}_events") for kind in ("user", "item"))
  if users or items:
    parts.append(f"users of {users} events, items of {items}")
  if (rating := protocol.get("min_rating")) is not None:
    parts.append(f"rating at least {rating:g}")
  if protocol.get("consecutive_repeats") == "dropped":
    parts.append("without consecutive repeats")
  return "; ".join(parts)


def _source(data: ItemData, *, field: str = "data") -> PreparedSplit:
  if len(data.sources) > 1:
    names = ", ".join(source.name for source in data.sources)
    raise ValueError(f"{field}: found {names}, expected one set: each is split by itself")
  return data.sources[0]

"""The prepared log behind a recommender: who took what, and what all take of late."""

import argparse
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.data.dataset_folder import data_folder
from pretrainjax.data.interactions import Interactions, check_kind
from pretrainjax.data.item_table import ItemTable, UserTable
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.evaluators.item_popularity import windowed_counts
from pretrainjax.predict.item_names import ItemNames
from pretrainjax.untrusted import BadFile


class Taken(NamedTuple):
  """A user's events, oldest first.

  Attributes:
    items: the numbers of the items.
    times: seconds, or numbers of rows where the log has no times.
  """

  items: Int[np.ndarray, " T"]
  times: Int[np.ndarray, " T"]


class ItemLog:
  """A prepared set of interactions, as recommending asks of it.

  Args:
    source: any split of it.
  """

  def __init__(self, source: PreparedSplit):
    self.source = source
    check_kind(source)
    try:
      self.items, self.users = ItemTable.load(source.folder), UserTable.load(source.folder)
    except BadFile as error:
      raise UserError(f"--datasets: '{error.path}' {error.reason}") from error
    self.names = ItemNames(self.items)

  @property
  def has_times(self) -> bool:
    """Whether events have times; else those of the log are numbers of rows."""
    return self.source.prepared.get("times") != "rows"

  def all_events(self, user: int) -> Taken:
    """All that a user took, what was held out for tests among it; nothing of one without."""
    parts = [self._of_training(user), *self._held_out(user)]
    return max(parts, key=lambda events: len(events.items))

  def popular(self, *, days: float) -> Float[np.ndarray, " V"]:
    """How often each item was taken in the last days of training; in all of it without times."""
    return windowed_counts(self._train, days=days if self.has_times else np.inf)

  def _of_training(self, user: int) -> Taken:
    rows = self._places["train"].get(user, [])
    events = [self._train.row(row) for row in rows]
    empty = np.zeros(0, np.int32), np.zeros(0, np.int64)
    items = np.concatenate([empty[0], *(self._train.items[e] for e in events)])
    times = np.concatenate([empty[1], *(self._train.times[e] for e in events)])
    order = np.argsort(times, kind="stable")  # a long history is several records
    return Taken(items[order], times[order])

  def _held_out(self, user: int) -> Iterator[Taken]:
    """The history before each target, with the target."""
    for name, rows in self._splits.items():
      for row in self._places[name].get(user, []) if name != "train" else []:
        events = rows.row(row)
        items = np.append(rows.items[events], rows.targets[row])
        yield Taken(items, np.append(rows.times[events], rows.target_times[row]))

  @property
  def _train(self) -> Interactions:
    return self._splits["train"]

  @functools.cached_property
  def _splits(self) -> dict[str, Interactions]:
    folder = self.source.folder
    splits = {s: PreparedSplit.at(folder, split=s) for s in ("train", "validation", "test")}
    return {name: Interactions.read(one) for name, one in splits.items() if one.has_split}

  @functools.cached_property
  def _places(self) -> dict[str, dict[int, list[int]]]:
    """The records of each user, by split."""
    places: dict[str, dict[int, list[int]]] = {}
    for name, rows in self._splits.items():
      found = places.setdefault(name, {})
      for row, user in enumerate(rows.users.tolist()):
        found.setdefault(user, []).append(row)
    return places


def open_log(loaded: Loaded, options: argparse.Namespace) -> ItemLog:
  """The set of --datasets, else the one that a run learned from.

  Args:
    loaded: the run, a recommender's.
    options: the flags `datasets` and `data_dir`.

  Raises:
    UserError: for a run that recommends nothing, or a set that is not there or of other items.
  """
  encoder, data = loaded.encoder, loaded.config.get("data") or {}
  if not all(hasattr(encoder, part) for part in ("queries", "candidates", "num_items")):
    raise UserError(f"--workdir: '{loaded.workdir}' is {loaded.title}, expected a recommender")
  name = options.datasets or data.get("datasets")
  if not isinstance(name, str) or "," in name:
    raise UserError(f"--datasets: found {name}, expected the one set whose items are recommended")
  folder = data_folder(options.data_dir or data.get("data_dir"))
  log = ItemLog(PreparedSplit(name, "train", folder))
  if log.items.num_items != encoder.num_items:
    raise UserError(
      f"--datasets: '{name}' has {log.items.num_items} items, expected the run's "
      f"{encoder.num_items}"
    )
  return log

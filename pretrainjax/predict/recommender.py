"""Scores items for those who ask: by the network, or for whom nothing is known by popularity."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool

from pretrainjax.errors import UserError
from pretrainjax.evaluators.ranked_items import Asked, best_items
from pretrainjax.evaluators.ranking import item_candidates, item_queries
from pretrainjax.predict.askers import Asker
from pretrainjax.predict.item_log import ItemLog
from pretrainjax.types import Recommender

_LATEST = np.iinfo(np.int32).max


class Options(NamedTuple):
  """What is recommended.

  Attributes:
    top: the number of items of each list.
    is_shown: which items may be recommended to anybody, "V".
    shows_seen: whether what one took may be recommended again.
    days: the window of popularity for those of whom nothing is known.
    batch_size: histories that are encoded at once.
  """

  top: int
  is_shown: Bool[np.ndarray, " V"]
  shows_seen: bool
  days: float
  batch_size: int


class ScoredItems:
  """A recommender with the vectors of all items made once.

  Args:
    encoder: the network of the run.
    log: the set whose items it recommends.
    length: the most events of a history that it reads.
    options: what is recommended.
  """

  def __init__(self, encoder: Recommender, log: ItemLog, *, length: int, options: Options):
    self.encoder, self.log, self.length, self.options = encoder, log, length, options
    self._network = nnx.split(encoder)
    vectors, bias = item_candidates(*self._network)
    hidden = jnp.where(options.is_shown, 0.0, -jnp.inf)
    self._vectors, self._bias = vectors, hidden if bias is None else hidden + bias

  def best(self, askers: Sequence[Asker]) -> dict[str, np.ndarray]:
    """The best items of each who asks.

    Returns:
      "items", numbers int32 "N top", 0 where none is left; "scores", float32 alike; and
      "popular", True for those who get what is popular.
    """
    cold = np.array([asker.is_cold for asker in askers], bool)
    shape = (len(askers), self.options.top)
    items, scores = np.zeros(shape, np.int32), np.full(shape, -np.inf, np.float32)
    warm = [asker for asker in askers if not asker.is_cold]
    if warm:
      items[~cold], scores[~cold] = self._by_network(warm)
    if cold.any():
      items[cold], scores[cold] = self._popular
    return {"items": items, "scores": scores, "popular": cold}

  def _by_network(self, askers: Sequence[Asker]) -> tuple[np.ndarray, np.ndarray]:
    queries = []
    for start in range(0, len(askers), self.options.batch_size):
      batch = batch_of(askers[start : start + self.options.batch_size], length=self.length)
      inputs = self.encoder.inputs(_filled_up(batch, self.options.batch_size))
      queries.append(np.asarray(item_queries(*self._network, inputs)))
    rows = [() if self.options.shows_seen else asker.events.items for asker in askers]
    offsets = np.cumsum([0, *map(len, rows)])
    hidden = Asked(np.zeros(len(rows), np.int32), offsets, np.concatenate(rows).astype(np.int32))
    vectors = np.concatenate(queries)[: len(askers)]
    try:
      return best_items(vectors, self._vectors, self._bias, hidden, k=self.options.top)
    except ValueError as error:
      raise UserError(f"--workdir: {error}") from error

  @functools.cached_property
  def _popular(self) -> tuple[np.ndarray, np.ndarray]:
    counts = np.where(self.options.is_shown, self.log.popular(days=self.options.days), -np.inf)
    counts[0] = -np.inf
    items = np.argsort(-counts, kind="stable")[: self.options.top]
    found = np.floor(counts[items])  # whole events: what is behind the point orders them
    missing = (0, self.options.top - len(items))
    items = np.pad(np.where(found >= 0, items, 0), missing)
    return items, np.pad(found, missing, constant_values=-np.inf)


def batch_of(askers: Sequence[Asker], *, length: int) -> dict[str, np.ndarray]:
  """The newest events of each, as `ItemData` makes batches.

  Args:
    askers: those who ask.
    length: the most events of a history.
  """
  items, times = (np.zeros((len(askers), length), np.int32) for _ in range(2))
  for row, asker in enumerate(askers):
    newest = asker.events.items[-length:]
    when = asker.events.times[-length:]
    items[row, : len(newest)] = newest
    times[row, : len(newest)] = np.minimum(when[-1:] - when, _LATEST)
  users = np.array([asker.user for asker in askers], np.int32)
  return {"items": items, "times": times, "user": users}


def _filled_up(batch: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
  """A batch of one size, so that a single program serves all."""
  rows = np.minimum(np.arange(size), len(batch["user"]) - 1)
  return {name: array[rows] for name, array in batch.items()}

"""Ranks of items by their scores, of as many users and items at once as memory is given for.

Ties: a target's rank is 1, the items above it, and half of the others that have its score, which is
its mean over all orders of these. In lists the lower item number comes first. All items of the
catalogue are ranked but for padding (0), and what is hidden from a user; a target never is.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from pretrainjax.evaluators.ranking_metrics import Ranked

# Scores held at once: 2**26 float32 are 256 MiB.
_MAX_SCORES = 2**26
# Items scored at once, of large catalogues.
_MAX_ITEMS = 2**16
_MAX_USERS = 1024


class Asked(NamedTuple):
  """What some users took next, and what they are not shown.

  Attributes:
    targets: the item number of each user's target.
    offsets: where each user's hidden items begin in `hidden`, and the end of the last one's.
    hidden: the item numbers that a user is not shown, one user behind the other.
  """

  targets: Int[np.ndarray, " N"]
  offsets: Int[np.ndarray, " N1"]
  hidden: Int[np.ndarray, " E"]


def rank_items(
  queries: Float[np.ndarray, "N D"],
  candidates: Float[Array | np.ndarray, "V D"],
  bias: Float[Array | np.ndarray, " V"] | None,
  asked: Asked,
  *,
  k: int,
) -> Ranked:
  """Ranks all items for each user by the inner products of queries and candidates.

  Args:
    queries: the vector of each user.
    candidates: the vector of each item; row 0 is padding, which is never recommended.
    bias: what is added to each item's scores; None adds nothing.
    asked: the targets, and what is hidden.
    k: the length of the lists.

  Raises:
    ValueError: for scores that are not finite.
  """
  return _ranked(_found_by_products(queries, candidates, bias, asked, k=k, places=True))


def rank_scores(
  scores: Callable[[slice], np.ndarray], asked: Asked, *, k: int, num_items: int
) -> Ranked:
  """Ranks all items for each user by scores that something else made.

  Args:
    scores: the scores of some users by a slice of their rows, float32 "B V"; column 0 is padding.
    asked: the targets, and what is hidden.
    k: the length of the lists.
    num_items: the number of items, V - 1.

  Raises:
    ValueError: for scores that are not finite.
  """
  count = len(asked.targets)
  size, parts = users_at_once(num_items + 1, num_users=count), []
  for rows, targets, hidden in _by_users(asked, size):
    found = scores(slice(rows[0], min(rows[0] + size, count)))
    found = np.pad(found, ((0, size - len(found)), (0, 0)), mode="edge")
    found[:, 0] = -np.inf
    parts.append(jax.tree.map(np.asarray, _rank_made(found, targets, hidden, k=k)))
  return _ranked(_joined(parts, count))


class Best(NamedTuple):
  """The items that score highest for each user.

  Attributes:
    items: their numbers, best first; 0 where no item is left.
    scores: the score of each; -inf where no item is left.
  """

  items: Int[np.ndarray, "N K"]
  scores: Float[np.ndarray, "N K"]


def best_items(
  queries: Float[np.ndarray, "N D"],
  candidates: Float[Array | np.ndarray, "V D"],
  bias: Float[Array | np.ndarray, " V"] | None,
  hidden: Asked,
  *,
  k: int,
) -> Best:
  """The best items for each user, by the same scores and with the same ties as `rank_items`.

  Args:
    queries: the vector of each user.
    candidates: the vector of each item; row 0 is padding, which is never recommended.
    bias: what is added to each item's scores, -inf for those that nobody is shown; None adds 0.
    hidden: what is hidden from each user; its targets are all 0.
    k: the length of the lists.

  Raises:
    ValueError: for scores that are not finite.
  """
  found = _found_by_products(queries, candidates, bias, hidden, k=k, places=False)
  return Best(found.top, found.scores)


def users_at_once(num_columns: int, *, num_users: int) -> int:
  """The number of users whose scores of so many items are held together."""
  return max(1, min(_MAX_SCORES // num_columns, _MAX_USERS, num_users))


class _Found(NamedTuple):
  above: Int[Array | np.ndarray, " B"]
  equal: Int[Array | np.ndarray, " B"]
  scores: Float[Array | np.ndarray, "B K"]
  top: Int[Array | np.ndarray, "B K"]
  bad: Any


def _found_by_products(
  queries: np.ndarray, candidates: Any, bias: Any, asked: Asked, *, k: int, places: bool
) -> _Found:
  """What `_rank_products` finds of all users, some at a time."""
  chunks = _chunks(jnp.asarray(candidates, jnp.float32), bias)
  size, parts = users_at_once(chunks[0].shape[1], num_users=len(queries)), []
  for rows, targets, hidden in _by_users(asked, size):
    some = jnp.asarray(queries[rows])
    found = _rank_products(some, chunks, targets, hidden, k=k, places=places)
    parts.append(jax.tree.map(np.asarray, found))
  return _joined(parts, len(queries))


@functools.partial(jax.jit, static_argnames=("k", "places"))
def _rank_products(
  queries: Array, chunks: Any, targets: Array, hidden: Array, *, k: int, places: bool = True
) -> _Found:
  def score(chunk: Any) -> Array:
    vectors, bias, first = chunk
    # Reduced precision, the default on accelerators, would reorder close neighbours.
    found = jnp.matmul(queries, vectors.T, precision="highest") + bias[None]
    return _hide(found, hidden - first)

  return _rank(score, chunks, targets, k=k, places=places)


@functools.partial(jax.jit, static_argnames="k")
def _rank_made(scores: Array, targets: Array, hidden: Array, *, k: int) -> _Found:
  first = jnp.zeros((1,), jnp.int32)
  chunks = (scores[None], first)
  score = lambda chunk: _hide(chunk[0], hidden - chunk[1])  # noqa: E731
  return _rank(score, chunks, targets, k=k, places=True)


def _rank(
  score: Callable[[Any], Array], chunks: Any, targets: Array, *, k: int, places: bool
) -> _Found:
  """The best items chunk by chunk, and the `places` of targets, whose scores are made before."""
  first = chunks[-1]

  def pick(own: Array, chunk: Any) -> tuple[Array, None]:
    scores, place = score(chunk), targets - chunk[-1]
    found = jnp.take_along_axis(scores, place[:, None], axis=1, mode="clip")[:, 0]
    return jnp.where((place >= 0) & (place < scores.shape[1]), found, own), None

  def count(so_far: _Found, chunk: Any) -> tuple[_Found, None]:
    scores = score(chunk)
    other = jnp.arange(scores.shape[1])[None] != (targets - chunk[-1])[:, None]
    above = so_far.above + jnp.sum(other & (scores > own[:, None]), axis=1)
    equal = so_far.equal + jnp.sum(other & (scores == own[:, None]), axis=1)
    best, column = lax.top_k(scores, min(k, scores.shape[1]))
    best = jnp.concatenate([so_far.scores, best], axis=1)
    top = jnp.concatenate([so_far.top, column + chunk[-1]], axis=1)
    best, column = lax.top_k(best, k)  # of equal ones the first, which has the lower number
    top = jnp.take_along_axis(top, column, axis=1)
    bad = so_far.bad | jnp.any(jnp.isnan(scores) | (scores == jnp.inf))
    return _Found(above, equal, best, top, bad), None

  size = len(targets)
  own = jnp.full((size,), -jnp.inf)
  if places:
    own, _ = _over(pick, own, chunks, len(first))
  zeros = jnp.zeros((size,), jnp.int32)
  lists = jnp.full((size, k), -jnp.inf), jnp.zeros((size, k), jnp.int32)
  start = _Found(zeros, zeros, *lists, jnp.any(~jnp.isfinite(own)) & places)
  found, _ = _over(count, start, chunks, len(first))
  return found._replace(top=jnp.where(found.scores == -jnp.inf, 0, found.top))


def _over(step: Callable, start: Any, chunks: Any, count: int) -> tuple[Any, None]:
  """A scan; over a single chunk it is the step itself, whose scores are then made once."""
  if count == 1:
    return step(start, jax.tree.map(lambda x: x[0], chunks))
  return lax.scan(step, start, chunks)


def _hide(scores: Array, places: Int[Array, "B S"]) -> Array:
  """Scores with -inf at some places; those outside of the chunk are nobody's."""
  count = scores.shape[1]
  places = jnp.where((places < 0) | (places >= count), count, places)
  rows = jnp.arange(len(scores))[:, None]
  return scores.at[rows, places].set(-jnp.inf, mode="drop")


def _chunks(candidates: Array, bias: Any) -> tuple[Array, Array, Array]:
  """Vectors "n C D", biases "n C" and the first item's number "n"; what fills up has bias -inf."""
  count, width = candidates.shape
  size = min(count, _MAX_ITEMS)
  number = -(-count // size)
  fill = number * size - count
  bias = jnp.zeros((count,)) if bias is None else jnp.asarray(bias, jnp.float32)
  bias = jnp.pad(bias.at[0].set(-jnp.inf), (0, fill), constant_values=-jnp.inf)
  vectors = jnp.pad(candidates, ((0, fill), (0, 0)))
  first = jnp.arange(number, dtype=jnp.int32) * size
  return vectors.reshape(number, size, width), bias.reshape(number, size), first


def _by_users(asked: Asked, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """Rows, targets and hidden items "B S" of each chunk of users; the last is filled up."""
  count = len(asked.targets)
  for start in range(0, count, size):
    rows = np.minimum(np.arange(start, start + size), count - 1)
    yield rows, asked.targets[rows].astype(np.int32), _hidden(asked, rows)


def _hidden(asked: Asked, rows: np.ndarray) -> Int[np.ndarray, "B S"]:
  """The hidden items of users, filled up with 0 to a power of two; targets are taken out."""
  lengths = np.diff(asked.offsets)[rows]
  width = 1 << int(max(lengths.max(initial=0) - 1, 0)).bit_length()
  column = np.arange(width)[None]
  is_there = column < lengths[:, None]
  places = np.where(is_there, asked.offsets[rows][:, None] + column, 0)
  if not len(asked.hidden):
    return np.zeros((len(rows), width), np.int32)
  hidden = np.where(is_there, asked.hidden[places], 0)
  return np.where(hidden == asked.targets[rows][:, None], 0, hidden).astype(np.int32)


def _joined(parts: list[_Found], count: int) -> _Found:
  """The users of all parts, without those that fill up the last one."""
  if any(part.bad for part in parts):
    raise ValueError(
      "scores of items are not finite: the parameters have diverged; evaluate an earlier "
      "checkpoint, or train with a lower learning rate"
    )
  columns = (np.concatenate(column)[:count] for column in list(zip(*parts, strict=True))[:-1])
  return _Found(*columns, bad=np.False_)


def _ranked(found: _Found) -> Ranked:
  return Ranked(1 + found.above + found.equal / 2, found.top)

"""Masks over tokens: which are present, True, and which the model must do without, False.

Every mask comes from one key and is drawn per example (`collectives.example_keys`), so that a
row's mask does not depend on how many devices share the batch.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from pretrainjax import collectives


def num_visible(num_tokens: int, mask_ratio: float) -> int:
  """The number of `num_tokens` that stay when `mask_ratio` of them are hidden, rounded down.

  One at least, of any. The 1e-6 undoes binary fractions: int(100 * (1 - 0.9)) is 9.

  >>> num_visible(196, 0.75), num_visible(100, 0.9), num_visible(3, 0.9)
  (49, 10, 1)
  """
  return max(int(num_tokens * (1 - mask_ratio) + 1e-6), min(num_tokens, 1))


def random_mask(
  key: Key[Array, ""],
  shape: tuple[int, int],
  *,
  mask_ratio: float,
  valid: Bool[Array, "B N"] | None = None,
) -> Bool[Array, "B N"]:
  """Hides tokens uniformly without replacement, equally many in every example.

  Args:
    key: the step's key for masks, equal on all devices.
    shape: batch size and tokens of a row, (B, N).
    mask_ratio: share of hidden tokens, in [0, 1).
    valid: True for tokens that are no padding; None is all.

  Returns:
    True for the tokens of each row that stay, `num_visible(N, mask_ratio)` of them; where there is
    padding, of which none stays, N is the number of the others.

  Reference: MAE, arXiv 2111.06377.

  >>> mask = random_mask(jax.random.key(0), (2, 8), mask_ratio=0.75)
  >>> mask.sum(axis=1).tolist()
  [2, 2]
  """
  batch_size, num_tokens = shape
  keys = collectives.example_keys(key, batch_size)
  noise = jax.vmap(lambda k: jax.random.uniform(k, (num_tokens,)))(keys)
  if valid is None:
    return _lowest(noise, num_visible(num_tokens, mask_ratio))
  counts = jnp.asarray([num_visible(n, mask_ratio) for n in range(num_tokens + 1)])
  # Noise lies in [0, 1): padding comes last.
  return _lowest(jnp.where(valid, noise, 1.0), counts[jnp.sum(valid, axis=1)][:, None])


def block_mask(
  key: Key[Array, ""],
  shape: tuple[int, int, int],
  *,
  mask_ratio: float,
  min_block: int = 4,
  max_aspect: float = 3.0,
  num_tries: int = 32,
) -> Bool[Array, "B H W"]:
  """Hides rectangles of a grid of patches, exactly as many patches in every example.

  Rectangles fall one after another, each of a random area between `min_block` and what is left
  to hide, with a log-uniform aspect ratio; those that would hide too much are refused.

  Args:
    key: the step's key for masks, equal on all devices.
    shape: (B, H, W), in patches.
    mask_ratio: share of hidden patches, in [0, 1).
    min_block: smallest area of a rectangle, in patches.
    max_aspect: largest ratio of height to width, or of width to height; at least 1.
    num_tries: the number of rectangles that are tried.

  Returns:
    True for the `num_visible(H * W, mask_ratio)` patches of each example that stay.

  Reference: BEiT, arXiv 2106.08254, algorithm 1. Ours differs in that patches still missing
  after the last try are hidden at random, so that all examples hide the same number.

  >>> mask = block_mask(jax.random.key(0), (2, 7, 7), mask_ratio=0.6)
  >>> mask.sum(axis=(1, 2)).tolist()
  [19, 19]
  """
  batch_size, height, width = shape
  num_hidden = height * width - num_visible(height * width, mask_ratio)

  def one(key):
    blocks_key, rest_key = jax.random.split(key)
    rectangle = functools.partial(
      _rectangle, height=height, width=width, min_block=min_block, max_aspect=max_aspect
    )

    def add(hidden, key):
      left = num_hidden - hidden.sum()
      union = hidden | rectangle(key, left)
      return jnp.where(union.sum() <= num_hidden, union, hidden), None

    empty = jnp.zeros((height, width), bool)
    hidden, _ = jax.lax.scan(add, empty, jax.random.split(blocks_key, num_tries))
    # Uniform noise lies in [0, 1): what the rectangles hide comes first, then the rest at random.
    noise = jax.random.uniform(rest_key, (height, width)) + jnp.where(hidden, 0.0, 1.0)
    return ~_lowest(noise.reshape(1, -1), num_hidden).reshape(height, width)

  return jax.vmap(one)(collectives.example_keys(key, batch_size))


def span_mask(
  key: Key[Array, ""],
  shape: tuple[int, int],
  *,
  mask_ratio: float,
  span_length: int,
  min_spans: int = 1,
) -> Bool[Array, "B T"]:
  """Hides spans of time that may overlap, so that somewhat less than `mask_ratio` is hidden.

  Args:
    key: the step's key for masks, equal on all devices.
    shape: batch size and steps of time, (B, T).
    mask_ratio: hidden share if no two spans overlapped (0.65 for wav2vec 2.0, which hides about
      half); the number of spans is mask_ratio * T / span_length, rounded at random.
    span_length: length of every span, in steps of time, at most T.
    min_spans: fewest spans of an example.

  Returns:
    True for what stays.

  Reference: wav2vec 2.0, arXiv 2006.11477, section 3.1; starts are distinct.

  >>> mask = span_mask(jax.random.key(0), (1, 12), mask_ratio=0.25, span_length=3)
  >>> int(mask.sum())
  9
  """
  batch_size, length = shape
  num_starts = length - span_length + 1
  if num_starts < 1:
    raise ValueError(f"span_length: found {span_length}, expected at most T = {length}")

  def one(key):
    count_key, start_key = jax.random.split(key)
    count = jnp.floor(mask_ratio * length / span_length + jax.random.uniform(count_key))
    ranks = jnp.argsort(jnp.argsort(jax.random.uniform(start_key, (num_starts,))))
    starts = ranks < jnp.maximum(count.astype(int), min_spans)
    padded = jnp.pad(starts, (span_length - 1, span_length - 1))
    # Step t is hidden if one of the span_length starts up to t is drawn.
    windows = [padded[i : i + length] for i in range(span_length)]
    return ~functools.reduce(jnp.logical_or, windows)

  return jax.vmap(one)(collectives.example_keys(key, batch_size))


def random_spans(
  key: Key[Array, ""], valid: Bool[Array, "B T"], *, start_rate: float, span_length: int
) -> Bool[Array, "B T"]:
  """Chooses spans of real time that may overlap, each step beginning one with the same odds.

  Args:
    key: the step's key for masks, equal on all devices.
    valid: True for real steps of time, which come first; a span ends with them.
    start_rate: the odds that a span begins at a step, in (0, 1).
    span_length: the steps of a span.

  Returns:
    True for what is hidden: about 1 - (1 - start_rate)^span_length of each row, one span at least.

  Reference: wav2vec 2.0, arXiv 2006.11477, section 3.1, and BEST-RQ, 2202.01855, section 4.1; there
  wav2vec 2.0's code draws a fixed number of starts.

  >>> valid = jnp.arange(9)[None] < 6
  >>> hidden = random_spans(jax.random.key(0), valid, start_rate=0.01, span_length=3)
  >>> 1 <= int(hidden.sum()) <= 3, bool(hidden[0, 6:].any())
  (True, False)
  """
  batch_size, length = valid.shape

  def one(key, valid):
    start_key, first_key = jax.random.split(key)
    starts = (jax.random.uniform(start_key, (length,)) < start_rate) & valid
    # Steps that come first: where the one of a row without any begins does not hang on padding.
    place = jnp.floor(jax.random.uniform(first_key) * jnp.sum(valid))
    starts |= ~jnp.any(starts) & (jnp.arange(length) == place)
    reach = jnp.cumsum(starts)
    before = jnp.pad(reach, (span_length, 0))[:length]
    return (reach > before) & valid  # a span began within the last span_length steps

  return jax.vmap(one)(collectives.example_keys(key, batch_size), valid)


class Chosen(NamedTuple):
  """The places of a row that a loss is about, as many slots in every row.

  Attributes:
    positions: distinct within a row, in no order.
    valid: False for slots that a row does not fill; their positions were not chosen.
  """

  positions: Int[Array, "B M"]
  valid: Bool[Array, "B M"]


def choose_tokens(
  key: Key[Array, ""],
  candidates: Bool[Array, "B T"],
  *,
  mask_rate: float,
  starts: Bool[Array, "B T"] | None = None,
) -> Chosen:
  """Chooses tokens of text uniformly without replacement, the same share of every row.

  Args:
    key: the step's key for masks, equal on all devices.
    candidates: True for tokens that may be chosen: no padding, no special tokens.
    mask_rate: share of the candidates, in (0, 1); the count is rounded, and at least one.
    starts: True where a word begins, to choose whole words, as long as they fit into the count;
      what is no candidate ends a word too. None chooses single tokens.

  Returns:
    M is mask_rate * T, rounded up.

  Reference: BERT, arXiv 1810.04805, section 3.1, and for whole words the authors' code; ours
  differs in the count, theirs rounds mask_rate * T, and in that it looks three times for words
  that still fit.

  >>> chosen = choose_tokens(jax.random.key(0), jnp.arange(8)[None] < 4, mask_rate=0.5)
  >>> chosen.valid.tolist(), int(chosen.positions[0, :2].max()) < 4
  ([[True, True, False, False]], True)
  """
  batch_size, length = candidates.shape
  num_slots = max(1, math.ceil(length * mask_rate - 1e-6))
  available = jnp.sum(candidates, axis=1)
  count = jnp.clip(jnp.round(mask_rate * available).astype(int), 1, num_slots)
  count = jnp.minimum(count, available)
  keys = collectives.example_keys(key, batch_size)
  noise = jax.vmap(lambda k: jax.random.uniform(k, (length,)))(keys)
  if starts is not None:
    chosen = jax.vmap(_whole_words)(noise, candidates, starts, count)
    valid = jnp.arange(num_slots)[None] < jnp.sum(chosen, axis=1, keepdims=True)
    return Chosen(hidden_indices(~chosen, num_slots), valid)
  order = jnp.argsort(jnp.where(candidates, noise, jnp.inf), axis=1)
  return Chosen(order[:, :num_slots], jnp.arange(num_slots)[None] < count[:, None])


def causal_mask(length: int) -> Bool[Array, "T T"]:
  """Lets position t (row) see itself and what came before.

  >>> causal_mask(3).astype(int).tolist()
  [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
  """
  return jnp.tril(jnp.ones((length, length), bool))


def keep_indices(visible: Bool[Array, "B N"], num_keep: int) -> Int[Array, "B M"]:
  """The positions of each row's visible tokens, ascending.

  Args:
    visible: True means present; each row must have `num_keep` of them.
    num_keep: M, a static number.

  >>> keep_indices(jnp.array([[True, False, True], [False, True, True]]), 2).tolist()
  [[0, 2], [1, 2]]
  """
  # A stable sort on "is hidden" brings the visible to the front in their order.
  return jnp.argsort(~visible, axis=1, stable=True)[:, :num_keep]


def hidden_indices(visible: Bool[Array, "B N"], num_hidden: int) -> Int[Array, "B M"]:
  """The positions of each row's hidden tokens, ascending.

  >>> hidden_indices(jnp.array([[True, False, True], [False, True, True]]), 1).tolist()
  [[1], [0]]
  """
  return keep_indices(~visible, num_hidden)


def split_places(
  visible: Bool[Array, "B N"], num_keep: int, *, valid: Bool[Array, "B N"] | None = None
) -> tuple[Int[Array, "B M"], Int[Array, "B R"]]:
  """The places of what is encoded and of all else, each ascending but for padding.

  Args:
    visible: True for the tokens that stay.
    num_keep: the number of places to encode, M; rows with fewer visible tokens fill up with
      padding, never with what is hidden.
    valid: True for tokens that are no padding; None is all.

  >>> visible, valid = jnp.array([[False, True, False, False]]), jnp.array([[True] * 3 + [False]])
  >>> [places.tolist() for places in split_places(visible, 2, valid=valid)]
  [[[1, 3]], [[0, 2]]]
  """
  hidden = ~visible if valid is None else ~visible & valid
  order = jnp.argsort(jnp.where(visible, 0, jnp.where(hidden, 2, 1)), axis=1, stable=True)
  return order[:, :num_keep], order[:, num_keep:]


def _lowest(noise, count: int | Int[Array, "B 1"]):
  """True for the `count` smallest of each row; exact, also where noise has ties."""
  return jnp.argsort(jnp.argsort(noise, axis=1), axis=1) < count


def _whole_words(noise, candidates, starts, count):
  """True for the tokens of words taken in the order of noise, of one row, all "T"."""
  follows = jnp.pad(candidates[:-1], (1, 0)) & ~starts
  word = jnp.maximum(jnp.cumsum(candidates & ~follows) - 1, 0)  # which one a token is of
  size = jnp.zeros(noise.shape, int).at[word].add(candidates)
  order = jnp.argsort(noise)
  ordered, left, taken = size[order], count, jnp.zeros(noise.shape, bool)
  for _ in range(3):
    fits = ~taken & (ordered <= left)
    new = fits & (jnp.cumsum(jnp.where(fits, ordered, 0)) <= left)
    taken, left = taken | new, left - jnp.sum(jnp.where(new, ordered, 0))
  return candidates & jnp.zeros(noise.shape, bool).at[order].set(taken)[word]


def _rectangle(key, left, *, height: int, width: int, min_block: int, max_aspect: float):
  """A random rectangle of `min_block` to `left` cells (before rounding), "H W"."""
  area_key, aspect_key, top_key, start_key = jax.random.split(key, 4)
  largest = jnp.maximum(left, min_block).astype(jnp.float32)
  area = jax.random.uniform(area_key, (), minval=float(min_block), maxval=largest)
  limit = jnp.log(max_aspect)
  aspect = jnp.exp(jax.random.uniform(aspect_key, (), minval=-limit, maxval=limit))
  tall = jnp.clip(jnp.round(jnp.sqrt(area * aspect)), 1, height)
  wide = jnp.clip(jnp.round(jnp.sqrt(area / aspect)), 1, width)
  top = jnp.floor(jax.random.uniform(top_key) * (height - tall + 1))
  start = jnp.floor(jax.random.uniform(start_key) * (width - wide + 1))
  row, column = jnp.arange(float(height))[:, None], jnp.arange(float(width))[None, :]
  return _within(row, top, tall) & _within(column, start, wide)


def _within(position, start, size):
  return (position >= start) & (position < start + size)

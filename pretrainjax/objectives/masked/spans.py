"""Spans of text cut out and put elsewhere: T5's inputs and targets, of static shapes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from pretrainjax import collectives


class SpanSizes(NamedTuple):
  """Lengths of rows that hold whatever a row of so many tokens becomes when spans are cut out.

  Attributes:
    num_noise: tokens cut out of a full row.
    num_spans: the number of spans that these lie in.
    inputs: tokens left, sentinels, and the end.
    targets: sentinels, tokens cut out, and the end.
  """

  num_noise: int
  num_spans: int
  inputs: int
  targets: int


class Spans(NamedTuple):
  """A text whose spans were cut out: what is read, and what is to be predicted.

  Attributes:
    inputs: what is left, a sentinel in place of each span, and the end; then padding, 0.
    inputs_valid: True for all but the padding.
    targets: each span after its sentinel, and the end; then padding, 0.
    targets_valid: True for all but the padding.
  """

  inputs: Int[Array, "B I"]
  inputs_valid: Bool[Array, "B I"]
  targets: Int[Array, "B O"]
  targets_valid: Bool[Array, "B O"]


def span_sizes(length: int, *, noise_density: float, mean_span_length: float) -> SpanSizes:
  """The sizes of a full row of `length` tokens; fewer tokens never need more.

  Args:
    length: the number of tokens of a full row.
    noise_density: the share of tokens that is cut out, in (0, 1).
    mean_span_length: the mean length of a span, in tokens.

  >>> span_sizes(512, noise_density=0.15, mean_span_length=3.0)
  SpanSizes(num_noise=77, num_spans=26, inputs=462, targets=104)
  """
  num_noise = min(max(round(length * noise_density), 1), length - 1)
  num_spans = min(max(round(num_noise / mean_span_length), 1), num_noise, length - num_noise)
  inputs, targets = length - num_noise + num_spans + 1, num_noise + num_spans + 1
  return SpanSizes(num_noise, num_spans, inputs, targets)


def cut_spans(
  key: Key[Array, ""],
  tokens: Int[Array, "B T"],
  valid: Bool[Array, "B T"],
  *,
  noise_density: float,
  mean_span_length: float,
  first_sentinel: int,
  sentinel_step: int,
  end_id: int,
) -> Spans:
  """Cuts random spans out of each row.

  Args:
    key: the step's key, equal on all devices.
    tokens: rows, their padding on the right.
    valid: True for tokens; a row with fewer than two loses none.
    noise_density: share of tokens cut out, in (0, 1).
    mean_span_length: the mean length of a span, in tokens.
    first_sentinel: the token that stands for a row's first span.
    sentinel_step: the difference of two sentinels' ids, one after the other: 1, or -1 as in T5's
      own vocabulary.
    end_id: the token that ends both texts.

  Reference: T5, arXiv 1910.10683, section 3.1.4, and random_spans_noise_mask of its code: both
  what stays and what goes is cut into equally many parts at random, in turns, beginning with one
  that stays.
  """
  shares = {"noise_density": noise_density, "mean_span_length": mean_span_length}
  sizes = span_sizes(tokens.shape[1], **shares)

  def one(key, tokens, valid):
    span, noise = _noise(key, jnp.sum(valid), tokens.shape[0], sizes, **shares)
    starts = noise & ~jnp.pad(noise[:-1], (1, 0))
    sentinels = first_sentinel + sentinel_step * span
    left = valid & ~noise
    # Inputs: what is left, and a sentinel where a span starts.
    inputs = jnp.where(noise, sentinels, tokens)
    inputs, inputs_valid = _compact(inputs, left | starts, sizes.inputs, end_id)
    # Targets: before a span's first token comes its sentinel.
    pairs = jnp.stack([sentinels, tokens], axis=1).reshape(-1)  # T 2 -> 2T
    chosen = jnp.stack([starts, noise], axis=1).reshape(-1)
    targets, targets_valid = _compact(pairs, chosen, sizes.targets, end_id)
    return Spans(inputs, inputs_valid, targets, targets_valid)

  keys = collectives.example_keys(key, len(tokens))
  return jax.vmap(one)(keys, tokens, valid)


def _noise(key, count, length: int, sizes: SpanSizes, **shares: float):
  """For each place the number of the span that it is in or comes next, and whether it is noise."""
  # By the same numbers as the static sizes: float32 rounds 0.15 * 190 up where Python rounds down.
  needed = [span_sizes(max(n, 1), **shares)[:2] for n in range(length + 1)]
  num_noise, num_spans = jnp.asarray(needed, jnp.int32)[count]
  keys = jax.random.split(key)
  left = _parts(keys[0], count - num_noise, num_spans, length, sizes.num_spans)
  gone = _parts(keys[1], num_noise, num_spans, sizes.num_noise, sizes.num_spans)
  ends = jnp.cumsum(jnp.stack([left, gone], axis=1).reshape(-1))  # in turns
  place = jnp.arange(length)
  turn = jnp.searchsorted(ends, place, side="right")
  return turn // 2, (turn % 2 == 1) & (place < ends[-1])


def _parts(key, count, num_parts, max_count: int, max_parts: int) -> Int[Array, " parts"]:
  """Cuts `count` things into `num_parts` parts of at least one, all ways alike; sizes, then 0."""
  cuts = jnp.arange(1, max_count) < count  # between things i - 1 and i
  draw = jnp.where(cuts, jax.random.uniform(key, (max_count - 1,)), 2.0)
  rank = jnp.argsort(jnp.argsort(draw))
  part = jnp.pad(jnp.cumsum((rank < num_parts - 1) & cuts), (1, 0))
  there = (jnp.arange(max_count) < count).astype(jnp.int32)
  return jax.ops.segment_sum(there, part, num_segments=max_parts)


def _compact(tokens, chosen, length: int, end_id: int):
  """The chosen tokens moved together, and the end after them."""
  place = jnp.where(chosen, jnp.cumsum(chosen) - 1, length)
  count = jnp.sum(chosen)
  moved = jnp.zeros((length,), tokens.dtype).at[place].set(tokens, mode="drop")
  return moved.at[count].set(end_id, mode="drop"), jnp.arange(length) <= count

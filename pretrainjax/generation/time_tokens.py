"""Whisper's tokens of time: where they may be written, and what they say of the text between them.

A text is segments, each between two of these tokens; time k is k * 0.02 seconds of the window.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

STEP = 0.02  # seconds
LATEST_BEGIN = 50  # the first segment begins within a second


class Past(NamedTuple):
  """What decides which tokens may follow; -1 is none yet.

  Attributes:
    token: the last token of each row.
    before: the one before it.
    time: the last token of time.
  """

  token: Int[Array, " B"]
  before: Int[Array, " B"]
  time: Int[Array, " B"]

  @classmethod
  def empty(cls, batch_size: int) -> "Past":
    """The past of texts that are about to begin."""
    return cls(*[jnp.full((batch_size,), -1, jnp.int32)] * 3)

  def followed_by(self, token: Int[Array, " B"], *, first_time: int) -> "Past":
    """The past once another token is written."""
    return Past(token, self.token, jnp.where(token >= first_time, token, self.time))


def with_times(
  logits: Float[Array, "B V"], past: Past, *, first_time: int, end_id: int
) -> Float[Array, "B V"]:
  """The scores of tokens, minus infinity for those that the rules of time forbid.

  A text begins with a time of at most a second; times come in pairs, the end of a segment and the
  beginning of the next, or end the text; they never go back, and no segment has no length. Where
  all times together are likelier than any other token, a time is written.

  Args:
    logits: the scores of all tokens, of which those from `first_time` on are times.
    past: what is written so far.
    first_time: the token of second 0.
    end_id: the token that ends a text; ids below it are words.

  Reference: arXiv 2212.04356, section 4.5, and the authors' code.
  """
  ids = jnp.arange(logits.shape[1])[None]  # 1 V
  token, before, time = (x[:, None] for x in past)  # each B 1
  is_time = ids >= first_time
  after_time = token >= first_time
  begins_segment = after_time & ((before >= first_time) | (before < 0))
  ends_segment = after_time & ~begins_segment
  banned = (begins_segment & is_time) | (ends_segment & (ids < end_id))
  banned |= is_time & (time >= 0) & (ids < jnp.where(ends_segment, time, time + 1))
  banned |= (token < 0) & (~is_time | (ids > first_time + LATEST_BEGIN))
  return _likelier_times(jnp.where(banned, -jnp.inf, logits), is_time)


def _likelier_times(logits: Float[Array, "B V"], is_time: Bool[Array, "1 V"]):
  all_times = jax.nn.logsumexp(jnp.where(is_time, logits, -jnp.inf), axis=1, keepdims=True)
  best_other = jnp.max(jnp.where(is_time, -jnp.inf, logits), axis=1, keepdims=True)
  return jnp.where((all_times > best_other) & ~is_time, -jnp.inf, logits)


class Piece(NamedTuple):
  """A segment of a text in tokens, and its seconds within the window."""

  tokens: list[int]
  begin: float
  end: float


class Cut(NamedTuple):
  """The segments of a window.

  Attributes:
    pieces: its segments, in their order.
    seconds: how much of it they write down; what follows is to be heard again.
  """

  pieces: list[Piece]
  seconds: float


def cut(tokens: Sequence[int], *, first_time: int, seconds: float) -> Cut:
  """Cuts the text of a window at its times.

  Where the text ends within a segment, what follows the last pair of times is left for the next
  window, which begins there. A single time at the end says that nothing follows.

  Args:
    tokens: the text, without the end's token.
    first_time: the token of second 0.
    seconds: the length of the sound in the window.

  >>> cut([100, 7, 125, 125, 8], first_time=100, seconds=30.0)
  Cut(pieces=[Piece(tokens=[7], begin=0.0, end=0.5)], seconds=0.5)
  """
  tokens = list(tokens)
  is_time = [token >= first_time for token in tokens]
  pairs = [i for i in range(1, len(tokens)) if is_time[i - 1] and is_time[i]]
  ends_with_time = is_time[-2:] == [False, True]

  def second(token: int) -> float:
    return min((token - first_time) * STEP, seconds)

  def words(some: Sequence[int]) -> list[int]:
    return [token for token in some if token < first_time]

  if not pairs:
    begin = second(tokens[0]) if is_time[:1] == [True] else 0.0
    end = next((second(t) for t in reversed(tokens[1:]) if t >= first_time), seconds)
    return Cut([Piece(words(tokens), begin, end)] if words(tokens) else [], seconds)
  stops = [*pairs, len(tokens)] if ends_with_time else pairs
  pieces = []
  for start, stop in zip([0, *stops], stops, strict=False):
    some = tokens[start:stop]
    pieces.append(Piece(words(some), second(some[0]), second(some[-1])))
  heard = seconds if ends_with_time else second(tokens[stops[-1] - 1])
  return Cut([piece for piece in pieces if piece.tokens], heard)

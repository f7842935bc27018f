"""The likeliest spans of a context, by the scores of where an answer begins and ends."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.data.windows import Window
from pretrainjax.types import Text


class Spans(NamedTuple):
  """The best spans of rows, best first.

  Attributes:
    scores: start + end of each span; -inf where a row has not so many.
    first: the number of its first token in the context.
    last: the number of its last token.
    null: start + end of [CLS], which says that there is no answer.
  """

  scores: Float[Array | np.ndarray, "B S"]
  first: Int[Array | np.ndarray, "B S"]
  last: Int[Array | np.ndarray, "B S"]
  null: Float[Array | np.ndarray, " B"]


class Answered(NamedTuple):
  """What one window, or all of a question, say of the answer.

  Attributes:
    text: the likeliest answer; "" where no token of the context can be one.
    score: its start + end; -inf where there is none.
    null: the same of "no answer".
  """

  text: str
  score: float
  null: float

  def with_window(self, other: "Answered") -> "Answered":
    """What two windows say: the likeliest answer of both, and the least of "no answer".

    A window without the answer is sure of that, so that only the one that is least sure counts.
    """
    best = max(self, other, key=lambda one: one.score)
    return best._replace(null=min(self.null, other.null))

  def or_none(self, threshold: float | None) -> str:
    """The answer, or "" where null - score is above a threshold; None always answers."""
    return "" if threshold is not None and self.null - self.score > threshold else self.text


def context_tokens(text: Text) -> Bool[Array, "B T"]:
  """True at the tokens of the second text of joint rows, without the [SEP] that ends it."""
  assert text.types is not None
  follows = jnp.pad(text.segments[:, 1:], ((0, 0), (0, 1)))
  return (text.types == 1) & (text.segments > 0) & (follows > 0)


def best_spans(
  logits: Float[Array, "B T 2"], context: Bool[Array, "B T"], *, longest: int, count: int
) -> Spans:
  """The `count` best of all spans within the context: start_i + end_j, i <= j < i + longest.

  Args:
    logits: scores of start and end; [CLS] is the first token.
    context: where the context stands, in one piece.
    longest: the most tokens of a span, at least 1.
    count: at least 1; fewer come back where there are not so many places.

  Reference: BERT's code for SQuAD (arXiv 1810.04805) pairs the 20 best starts and the 20 best ends.
  Ours looks at all pairs; nor does it ask in which window a token has most context.

  >>> scores = jnp.array([[[9.0, 9.0], [1.0, 0.0], [0.0, 3.0], [5.0, 1.0]]])
  >>> found = best_spans(scores, jnp.array([[False, True, True, True]]), longest=2, count=2)
  >>> found.first.tolist(), found.last.tolist(), found.scores.tolist(), found.null.tolist()
  ([[2, 0]], [[2, 1]], [[6.0, 4.0]], [18.0])
  """
  length = logits.shape[1]
  longest = min(longest, length)
  start, end = (jnp.where(context, logits[..., i].astype(jnp.float32), -jnp.inf) for i in (0, 1))
  end = jnp.pad(end, ((0, 0), (0, longest - 1)), constant_values=-jnp.inf)
  ends = jnp.arange(length)[:, None] + jnp.arange(longest)[None]
  scores = start[:, :, None] + end[:, ends]  # B T, B T longest -> B T longest
  count = min(count, length * longest)
  best, places = jax.lax.top_k(scores.reshape(len(scores), -1), count)
  first, extra = places // longest, places % longest
  offset = jnp.argmax(context, axis=1)[:, None]
  null = logits[:, 0].astype(jnp.float32).sum(axis=-1)
  return Spans(best, first - offset, first - offset + extra, null)


@functools.partial(jax.jit, static_argnames=("graphdef", "longest", "count"))
def spans_of(graphdef: nnx.GraphDef, state: Any, text: Text, *, longest: int, count: int) -> Spans:
  """The best spans that a trained module finds in joint rows, see `best_spans`."""
  module = nnx.merge(graphdef, state)
  logits = module.logits(module.encoder(text).tokens)
  return best_spans(logits, context_tokens(text), longest=longest, count=count)


def answered(spans: Spans, windows: Sequence[Window]) -> list[Answered]:
  """What each window says: of its best spans the first that is more than space.

  Args:
    spans: of the windows' rows, in their order; further rows are left out.
    windows: the texts of the first rows.

  Raises:
    ValueError: for scores that are not finite.
  """
  spans = Spans(*map(np.asarray, spans))
  if not np.isfinite(spans.null[: len(windows)]).all():
    raise ValueError("scores are not finite: the parameters have diverged")
  found = []
  for row, window in enumerate(windows):
    best = Answered("", -np.inf, float(spans.null[row]))
    columns = zip(spans.scores[row], spans.first[row], spans.last[row], strict=True)
    for score, first, last in columns:
      if np.isfinite(score) and (text := window.text(int(first), int(last))):
        best = Answered(text, float(score), best.null)
        break
    found.append(best)
  return found

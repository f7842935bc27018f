"""The best spans, held to all of them, one by one."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.data.windows import Window
from pretrainjax.evaluators.best_spans import (
  Answered,
  Spans,
  answered,
  best_spans,
  context_tokens,
)
from pretrainjax.types import Text


def reference(logits, allowed, longest):
  """(score, first, last) of every span within the context, best first."""
  places = np.flatnonzero(allowed)
  found = [
    (float(logits[i, 0] + logits[j, 1]), int(i - places[0]), int(j - places[0]))
    for i, j in itertools.product(places, places)
    if i <= j < i + longest
  ]
  return sorted(found, key=lambda span: -span[0])


@pytest.mark.parametrize(("longest", "count"), [(1, 1), (3, 5), (30, 200)])
def test_they_are_the_best_of_all_that_are_allowed(longest, count):
  rng = np.random.default_rng(longest)
  logits = rng.normal(size=(3, 12, 2)).astype(np.float32)
  allowed = np.zeros((3, 12), bool)
  allowed[0, 4:11], allowed[1, 5:6], allowed[2, 2:12] = True, True, True
  spans = best_spans(jnp.asarray(logits), jnp.asarray(allowed), longest=longest, count=count)
  spans = Spans(*map(np.asarray, spans))
  for row in range(3):
    wanted = reference(logits[row], allowed[row], longest)[:count]
    kept = np.isfinite(spans.scores[row])
    assert kept.sum() == min(len(wanted), count)
    found = zip(spans.scores[row], spans.first[row], spans.last[row], strict=True)
    for (score, first, last), (best, i, j) in zip(found, wanted, strict=False):
      assert (first, last) == (i, j)
      np.testing.assert_allclose(score, best, rtol=1e-5)
    np.testing.assert_allclose(spans.null[row], logits[row, 0].sum(), rtol=1e-5)


def test_a_row_without_context_has_none():
  spans = best_spans(jnp.zeros((1, 4, 2)), jnp.zeros((1, 4), bool), longest=2, count=3)
  assert not np.isfinite(spans.scores).any()


def test_the_context_is_the_second_text_without_what_ends_it():
  segments = np.array([[1, 1, 1, 1, 1, 1, 1, 0], [1] * 8], np.int32)
  types = np.array([[0, 0, 0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1, 1, 1]], np.int32)
  text = Text(*map(jnp.asarray, (segments, segments, types)))
  assert context_tokens(text).astype(int).tolist() == [
    [0, 0, 0, 1, 1, 1, 0, 0],
    [0, 0, 1, 1, 1, 1, 1, 0],
  ]


def test_of_the_best_spans_the_first_that_is_more_than_space_counts():
  window = Window("q", "a  b", np.array([[0, 1], [1, 3], [3, 4]]), ())
  spans = Spans(
    np.array([[3.0, 2.0, 1.0], [-np.inf] * 3]),
    np.array([[1, 2, 0], [0] * 3]),
    np.array([[1, 2, 0], [0] * 3]),
    np.array([0.5, 0.25]),
  )
  found = answered(spans, [window, window])
  assert found == [Answered("b", 2.0, 0.5), Answered("", -np.inf, 0.25)]
  with pytest.raises(ValueError, match="diverged"):
    answered(spans._replace(null=np.array([np.nan, 0.0])), [window])


def test_windows_together():
  one, other = Answered("x", 3.0, 9.0), Answered("y", 4.0, 5.0)
  assert one.with_window(other) == other.with_window(one) == Answered("y", 4.0, 5.0)
  sure = Answered("z", 1.0, 1.0)
  assert one.with_window(sure) == Answered("x", 3.0, 1.0)  # the least sure that there is none


def test_none_is_said_above_the_threshold():
  found = Answered("x", 3.0, 4.0)
  assert [found.or_none(t) for t in (None, 0.5, 1.0, 2.0)] == ["x", "", "x", "x"]
  assert Answered("", -np.inf, 0.0).or_none(None) == ""

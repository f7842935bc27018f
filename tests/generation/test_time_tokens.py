import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.generation.time_tokens import Cut, Past, Piece, cut, with_times

END, FIRST, SIZE = 6, 8, 75  # words are 0 to 5, times from 8 on


def allowed_by_hand(tokens, logits):
  """The rules as the authors' code has them, for one text."""
  logits = logits.copy()
  is_time = [token >= FIRST for token in tokens]
  if is_time[-1:] == [True]:
    if len(tokens) < 2 or is_time[-2]:
      logits[FIRST:] = -np.inf
    else:
      logits[:END] = -np.inf
  times = [token for token in tokens if token >= FIRST]
  if times:
    open_end = is_time[-1] and not (len(tokens) < 2 or is_time[-2])
    logits[FIRST : times[-1] + (0 if open_end else 1)] = -np.inf
  if not tokens:
    logits[:FIRST] = -np.inf
    logits[FIRST + 51 :] = -np.inf
  with np.errstate(divide="ignore"):
    together = np.log(np.exp(logits[FIRST:]).sum())
  if together > logits[:FIRST].max():
    logits[:FIRST] = -np.inf
  return logits


TEXTS = [[], [8], [8, 1], [8, 1, 2, 20], [8, 1, 20, 20], [8, 1, 20, 20, 3], [9, 2, 30, 31, 1, 40]]


@pytest.mark.parametrize("bonus", [-6.0, 0.0, 4.0])
def test_the_rules_are_the_authors(bonus):
  logits = np.random.default_rng(0).normal(size=(len(TEXTS), SIZE)).astype(np.float32)
  logits[:, FIRST:] += bonus
  pasts = []
  for tokens in TEXTS:
    past = Past.empty(1)
    for token in tokens:
      past = past.followed_by(jnp.array([token]), first_time=FIRST)
    pasts.append(past)
  past = Past(*map(jnp.concatenate, zip(*pasts, strict=True)))
  found = with_times(jnp.asarray(logits), past, first_time=FIRST, end_id=END)
  expected = [allowed_by_hand(t, row) for t, row in zip(TEXTS, logits, strict=True)]
  np.testing.assert_array_equal(found, np.stack(expected))


CUTS = {
  "whole segments, and a last one that goes on": (
    [8, 1, 2, 58, 58, 3, 83, 108, 4],
    Cut([Piece([1, 2], 0.0, 1.0), Piece([3], 1.0, 1.5)], 1.5),
  ),
  "a time at the end says that nothing follows": (
    [8, 1, 58, 58, 2, 108],
    Cut([Piece([1], 0.0, 1.0), Piece([2], 1.0, 2.0)], 9.0),
  ),
  "one segment": ([33, 1, 2, 58], Cut([Piece([1, 2], 0.5, 1.0)], 9.0)),
  "one that the window cuts": ([33, 1, 2], Cut([Piece([1, 2], 0.5, 9.0)], 9.0)),
  "nothing": ([], Cut([], 9.0)),
  "times without words": ([8, 58, 58, 108], Cut([], 1.0)),
  "beyond the sound": ([8, 1, 1000], Cut([Piece([1], 0.0, 9.0)], 9.0)),
}


@pytest.mark.parametrize("name", CUTS)
def test_texts_are_cut_at_their_times(name):
  tokens, expected = CUTS[name]
  found = cut(tokens, first_time=FIRST, seconds=9.0)
  assert [piece.tokens for piece in found.pieces] == [piece.tokens for piece in expected.pieces]
  times = [[(p.begin, p.end) for p in one.pieces] for one in (found, expected)]
  np.testing.assert_allclose(*times)
  assert found.seconds == pytest.approx(expected.seconds)

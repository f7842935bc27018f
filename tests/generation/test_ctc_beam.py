import itertools

import numpy as np
import pytest

from pretrainjax.generation.backoff import Backoff
from pretrainjax.generation.ctc import collapse, greedy
from pretrainjax.generation.ctc_beam import beam_search
from pretrainjax.generation.fusion import LabelModel, Length, WordModel

LETTERS = Backoff(
  ("<s>", "</s>", "<unk>", "a", "b"),
  {
    (): {0: -9.0, 1: -2.0, 2: -3.0, 3: -0.7, 4: -1.5},
    (0,): {3: -0.2},
    (3,): {4: -0.1, 1: -1.0},
    (3, 4): {3: -0.3},
  },
  {(0,): -0.1, (3,): -0.5, (4,): -0.2, (3, 4): -0.7},
)
WORDS = Backoff(
  ("<s>", "</s>", "<unk>", "a", "ab"),
  {(): {0: -9.0, 1: -2.0, 2: -4.0, 3: -0.7, 4: -1.5}, (0,): {3: -0.2}, (3,): {4: -0.1, 1: -1.0}},
  {(0,): -0.1, (3,): -0.5},
)
SPACE = 3


def spell(ids):
  return "".join("-ab "[i] for i in ids)


def log_probs(frames, classes=4, *, seed=0, scale=1.0):
  x = np.random.default_rng(seed).normal(size=(frames, classes)) * scale
  return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def letters(alpha=0.8, beta=0.3):
  return LabelModel(LETTERS, np.array([-1, 3, 4, 2]), alpha=alpha, beta=beta)


def words(alpha=0.9, beta=0.4):
  return WordModel(WORDS, np.arange(4) == SPACE, spell, alpha=alpha, beta=beta)


def letters_score(text, alpha=0.8, beta=0.3):
  """What the language model adds, from its definition."""
  total, context = 0.0, LETTERS.start
  for letter in text:
    number = {"a": 3, "b": 4, " ": 2}[letter]
    total += alpha * LETTERS.log_prob(context, number) + beta
    context = LETTERS.after(context, number)
  return total + alpha * LETTERS.log_prob(context, 1)


def words_score(text, alpha=0.9, beta=0.4):
  total, context = 0.0, WORDS.start
  for word in text.split():
    total += alpha * WORDS.log_prob(context, WORDS.find(word)) + beta
    context = WORDS.after(context, WORDS.find(word))
  return total + alpha * WORDS.log_prob(context, 1)


def by_paths(logs, *, blank_id, score=lambda text: 0.0):
  """All transcripts, best first, each with the sum over all of its paths."""
  totals = {}
  for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
    labels = tuple(collapse(np.array(path), blank_id=blank_id)[0].tolist())
    one = logs[np.arange(len(path)), path].sum()
    totals[labels] = np.logaddexp(totals.get(labels, -np.inf), one)
  scored = {labels: total + score(spell(labels)) for labels, total in totals.items()}
  return sorted(scored.items(), key=lambda pair: -pair[1])


@pytest.mark.parametrize("blank_id", [0, 2])
def test_a_wide_beam_finds_all_transcripts_with_the_sums_of_their_paths(blank_id):
  logs = log_probs(5)
  found = beam_search(logs, blank_id=blank_id, width=10_000)
  expected = by_paths(logs, blank_id=blank_id)
  assert len(found) == len(expected) and found[0].labels == expected[0][0]
  np.testing.assert_allclose([one.score for one in found], [score for _, score in expected])


@pytest.mark.parametrize(
  ("fusion", "score"),
  [
    (Length(4, beta=0.7), lambda text: 0.7 * len(text)),
    (letters(), letters_score),
    (words(), words_score),
  ],
  ids=["length", "letters", "words"],
)
def test_the_same_with_what_is_added(fusion, score):
  for seed in range(3):
    logs = log_probs(5, seed=seed)
    found = beam_search(logs, blank_id=0, width=10_000, fusion=fusion)
    expected = by_paths(logs, blank_id=0, score=score)
    assert found[0].labels == expected[0][0]
    scores = [[one.score for one in found], [score for _, score in expected]]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_a_narrow_beam_is_near_the_best_and_greedy_where_frames_are_sure():
  logs = log_probs(60, 8, scale=9.0)
  narrow, wide = (beam_search(logs, blank_id=0, width=width) for width in (1, 200))
  assert narrow[0].labels == greedy(logs, blank_id=0).labels
  assert len(narrow) == 1 and len(wide) == 200
  logs = log_probs(60, 8, scale=1.5)
  scores = [beam_search(logs, blank_id=0, width=width)[0].score for width in (1, 8, 64, 512)]
  assert scores == sorted(scores)


def test_a_language_model_changes_the_answer():
  logs = np.log(np.array([[0.01, 0.44, 0.54, 0.01], [0.97, 0.01, 0.01, 0.01]]))
  assert beam_search(logs, blank_id=0, width=9)[0].labels == (2,)
  assert beam_search(logs, blank_id=0, width=9, fusion=letters(alpha=1.0))[0].labels == (1,)


def test_the_empty_transcript():
  found = beam_search(log_probs(0), blank_id=0, width=3)
  assert [one.labels for one in found] == [()] and found[0].score == 0.0
  silence = np.log(np.array([[0.97, 0.01, 0.01, 0.01]] * 3))
  assert beam_search(silence, blank_id=0, width=3)[0].labels == ()
  with pytest.raises(ValueError, match="width=0: expected at least 1"):
    beam_search(silence, blank_id=0, width=0)


def test_forgetting_prefixes_changes_nothing(monkeypatch):
  logs = log_probs(60, 6, scale=3.0)
  expected = beam_search(logs, blank_id=0, width=12)
  monkeypatch.setattr("pretrainjax.generation.ctc_beam._SWEEP", 7)
  assert beam_search(logs, blank_id=0, width=12) == expected


def test_frames_that_rule_classes_out():
  """Minus infinity is a probability too."""
  logs = np.full((4, 4), -np.inf)
  logs[np.arange(4), [1, 1, 0, 1]] = 0.0
  found = beam_search(logs, blank_id=0, width=5)
  assert [(one.labels, one.score) for one in found] == [((1, 1), 0.0)]

import numpy as np
import pytest

from pretrainjax.generation.backoff import Backoff
from pretrainjax.generation.fusion import LabelModel, Length, WordModel

MODEL = Backoff(
  ("</s>", "<unk>", "a", "ab"),
  {(): {0: -2.0, 1: -4.0, 2: -1.0, 3: -3.0}, (2,): {3: -0.5}},
  {(2,): -0.25},
)


def added(fusion, labels):
  """(sum of what the labels add, what the end adds)."""
  total, state = 0.0, fusion.start()
  for label in labels:
    total, state = total + fusion.scores(state)[label], fusion.extend(state, label)
  return total, fusion.end(state)


def test_a_bonus_for_each_label():
  assert added(Length(3, beta=0.5), [1, 2, 1]) == (1.5, 0.0)


def test_letters_are_scored_as_they_come():
  fusion = LabelModel(MODEL, np.array([-1, 2, 3]), alpha=2.0, beta=0.25)
  assert added(fusion, [1]) == (2 * -1.0 + 0.25, 2 * (-0.25 - 2.0))
  assert added(fusion, [1, 2]) == (2 * (-1.0 - 0.5) + 0.5, 2 * -2.0)
  assert fusion.scores(fusion.start())[0] < -400  # what the model does not list


def test_words_are_scored_once_the_next_one_begins():
  # The labels: blank, a, b, space.
  fusion = WordModel(
    MODEL, np.arange(4) == 3, lambda ids: "".join("-ab "[i] for i in ids), alpha=1.0, beta=0.5
  )
  assert added(fusion, [1]) == (0.0, -1.0 + 0.5 + -0.25 - 2.0)
  assert added(fusion, [1, 3]) == (-0.5, -0.25 - 2.0)  # nothing but a space behind the word
  assert added(fusion, [1, 3, 1, 2]) == (-0.5, -0.5 + 0.5 - 2.0)
  assert added(fusion, [3, 3, 1, 3, 3, 1, 2]) == (-0.5, -0.5 + 0.5 - 2.0)
  assert added(fusion, [2, 3]) == (-4.0 + 0.5, -2.0)  # a word that is not listed
  assert added(fusion, []) == (0.0, -2.0)
  assert added(fusion, [1, 3])[0] == pytest.approx(-0.5)

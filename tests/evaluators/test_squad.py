"""Exact match and F1, held to a reference of their own that follows SQuAD's description."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrainjax.evaluators.squad import exact_match, f1, has_answer, normalized

PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def words_of(text: str) -> list[str]:
  """Lower case; no punctuation; no articles, as whole words; words by whitespace."""
  kept = "".join(letter for letter in text.lower() if letter not in PUNCTUATION)
  return re.sub(r"\b(a|an|the)\b", " ", kept, flags=re.UNICODE).split()


def reference(found: str, answers: list[str]) -> tuple[float, float]:
  """(exact, F1) of one question."""
  golden = [words_of(a) for a in answers if words_of(a)] or [[]]
  mine, best = words_of(found), (0.0, 0.0)
  for right in golden:
    pool, same = list(right), 0
    for word in mine:
      if word in pool:
        pool.remove(word)
        same += 1
    if not mine or not right:
      overlap = float(mine == right)
    elif same == 0:
      overlap = 0.0
    else:
      precision, recall = same / len(mine), same / len(right)
      overlap = 2 * precision * recall / (precision + recall)
    best = (max(best[0], float(" ".join(mine) == " ".join(right))), max(best[1], overlap))
  return best


PIECES = (
  *("a", "an", "the", "The", "An-", "a.", ".the.", "a_the", "_", "\u00e9a", "theatre"),
  *("U.S.", "us", "Union", "union", "union's", "--", "1,000", "$5", "\u2019s"),
  *("", " ", "\u00a0", "\t", "caf\u00e9", "CAF\u00c9", "\u0130", "\u4e2d\u6587", "\U0001f600"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).flatmap(
  lambda parts: st.sampled_from([" ".join(parts), "".join(parts)])
)


@settings(max_examples=200, deadline=None)
@given(found=TEXTS, answers=st.lists(TEXTS, max_size=4))
def test_they_equal_the_reference_on_odd_texts(found, answers):
  exact, overlap = reference(found, answers)
  assert exact_match(found, answers) == exact
  np.testing.assert_allclose(f1(found, answers), overlap, rtol=1e-12)
  assert has_answer(answers) == any(map(words_of, answers))


@pytest.mark.parametrize(
  "text, wanted",
  [
    ("The Norman-Conquest, of  an\tEngland!", "normanconquest of england"),
    ("theatre a-the Athens", "theatre athe athens"),
    (".a.", ""),
    ("L\u2019\u00e9t\u00e9", "l\u2019\u00e9t\u00e9"),  # no ASCII: it stays
  ],
)
def test_what_is_compared(text, wanted):
  assert normalized(text) == wanted


@pytest.mark.parametrize(
  "found, answers, exact, overlap",
  [
    ("Denver Broncos", ["The Denver Broncos", "Broncos"], 1, 1),
    ("the Broncos of Denver", ["Denver Broncos"], 0, 0.8),
    ("", [], 1, 1),  # right: there is none
    ("Denver", [], 0, 0),
    ("", ["Denver"], 0, 0),
    ("the", ["Denver"], 0, 0),
    ("", ["the"], 1, 1),  # of which nothing is left
    ("a b a", ["a a b c"], 0, 2 / 3),  # the article goes
    ("x y x", ["x x y z"], 0, 6 / 7),  # words that come twice count twice
  ],
)
def test_what_squad_would_say(found, answers, exact, overlap):
  assert exact_match(found, answers) == exact
  assert f1(found, answers) == pytest.approx(overlap)

"""Transcripts as they are compared: the rules, one by one."""

import pytest

from pretrainjax.data.transcripts import normalized


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("A frog.", "a frog"),
    ("DON'T stop -- 'now'!", "don't stop now"),
    ("l\u2019\u00e9l\u00e9phant", "l'\u00e9l\u00e9phant"),
    ("e\u0301le\u0301", "\u00e9l\u00e9"),
    ("\ufb01ve, 5\u00bd", "five 51 2"),
    ("state-of-the-art", "state of the art"),
    ("\u0421\u041b\u041e\u041d\n (zoo)", "\u0441\u043b\u043e\u043d zoo"),
    ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),  # marks stay
    ("...", ""),
  ],
)
def test_words_alone(text, words):
  assert normalized(text, "words") == words
  assert normalized(words, "words") == words


def test_the_other_rules():
  assert normalized(" A  Frog. ", "verbatim") == "A Frog."
  assert normalized(" A  Frog. ", "lower") == "a frog."

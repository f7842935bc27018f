"""Texts are cleaned, and left out where they are too short, too long or repeat themselves."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrainjax.prepare.text.cleaning import (
  Cleaning,
  duplicate_lines,
  duplicate_ngrams,
  top_ngram,
)
from pretrainjax.prepare.text.ngrams import word_hashes

RNG = np.random.default_rng(0)


def prose(words: int) -> str:
  """Words of which hardly two in a row come twice."""
  return " ".join(f"w{i}" for i in RNG.integers(0, 10_000, words))


def test_what_is_no_text_goes_and_newlines_become_ours():
  dirty = " \ufeffa\x00b\r\nc\rd\u2028e\tf\x9b\ud800g \x07"
  assert Cleaning().clean(dirty) == "ab\nc\nd\ne\tfg"
  assert Cleaning(control=True).clean("a\x07\ud800") == "a\x07?"


@given(st.text(st.characters(exclude_categories=())))
def test_clean_text_stays_as_it_is(text):
  clean = Cleaning().clean(text)
  assert unicodedata.is_normalized("NFC", clean) and Cleaning().clean(clean) == clean
  clean.encode()


def test_nfc_is_optional():
  assert Cleaning().clean("e\u0301") == "\u00e9"
  assert Cleaning(normalize=False).clean("e\u0301") == "e\u0301"


def test_lengths():
  rules = Cleaning(min_characters=2, max_characters=4)
  reasons = [rules.why_not(text) for text in ("", "a", "ab", "abcd", "abcde")]
  assert reasons == ["empty", "too short", None, None, "too long"]


def test_prose_is_kept_and_what_repeats_itself_is_not():
  rules = Cleaning()
  assert rules.why_not(prose(400)) is None
  line = prose(8)
  assert rules.why_not("\n".join([line] * 20)) == "repeats its lines"
  assert rules.why_not("buy now " * 40) == "repeats a phrase"
  passage = prose(60)
  assert rules.why_not(f"{passage} {prose(20)} {passage}") == "repeats its phrases"
  assert Cleaning(repetition=False).why_not("buy now " * 40) is None
  assert rules.why_not("buy now " * 10) is None  # of few words nothing is asked


def test_fractions_by_hand():
  assert duplicate_lines("aaaa\nbb\naaaa\n\n") == (1 / 3, 4 / 10)
  words, lengths = word_hashes("a bb a bb ccc a bb")
  assert top_ngram(words, lengths, size=2) == pytest.approx(3 * 3 / 12)
  assert top_ngram(words[:2], lengths[:2], size=2) == 0
  # The second and third "a bb" and the second "bb ..." that is not: each letter once.
  assert duplicate_ngrams(words, lengths, size=2) == pytest.approx(6 / 12)
  assert duplicate_ngrams(words, lengths, size=9) == 0


def test_ranges_are_checked():
  with pytest.raises(ValueError, match="min_characters=0"):
    Cleaning(min_characters=0)
  with pytest.raises(ValueError, match="max_characters=1: expected at least min_characters=2"):
    Cleaning(min_characters=2, max_characters=1)
  with pytest.raises(ValueError, match="top_ngrams"):
    Cleaning(top_ngrams=(1.5,))

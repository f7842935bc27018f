"""Hashes of words and of runs of words."""

import numpy as np

from pretrainjax.prepare.text.ngrams import ngram_hashes, word_hashes


def test_words_are_told_apart_by_spelling_but_not_by_case():
  words, lengths = word_hashes("The cat,\n the  cat")
  assert lengths.tolist() == [3, 4, 3, 3]
  assert words[0] == words[2] and len(set(words.tolist())) == 3
  assert len(word_hashes(" \n")[0]) == 0


def test_runs_are_equal_if_their_words_are_in_order():
  words, _ = word_hashes("a b c a b x b a")
  pairs = ngram_hashes(words, size=2)
  assert pairs.shape == (7,)
  assert pairs[0] == pairs[3] and pairs[0] != pairs[6]
  assert len(np.unique(pairs)) == 6
  assert len(ngram_hashes(words, size=9)) == 0

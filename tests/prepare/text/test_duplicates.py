"""Equal and nearly equal documents are found, others are not, and nothing is kept in memory."""

import sqlite3

import numpy as np
import pytest

from pretrainjax.prepare.stages.journal import open_journal
from pretrainjax.prepare.text.duplicates import Duplicates, Seen

RNG = np.random.default_rng(1)


def prose(words: int = 300) -> list[str]:
  return [f"w{i}" for i in RNG.integers(0, 5000, words)]


def changed(words: list[str], count: int) -> list[str]:
  """The text with some words in a row replaced."""
  start = int(RNG.integers(0, len(words) - count))
  return words[:start] + prose(count) + words[start + count :]


@pytest.fixture
def seen():
  database = sqlite3.connect(":memory:")
  yield lambda rules: Seen(rules, database)
  database.close()


def test_equal_texts(seen):
  seen = seen(Duplicates(near=False))
  assert seen.add("a b") is None and seen.add("a c") is None
  assert seen.add("a b") == "exact"
  assert seen.add("a b", "answer") is None and seen.add("a b", "answer") == "exact"


def test_texts_above_the_threshold_are_found_and_others_are_kept(seen):
  seen = seen(Duplicates())
  texts = [prose() for _ in range(30)]
  assert all(seen.add(" ".join(text)) is None for text in texts)
  similar = [seen.add(" ".join(changed(text, 8))) for text in texts]  # Jaccard about 0.92
  assert similar.count("near") >= 29
  others = [seen.add(" ".join(changed(text, 100))) for text in texts]  # about 0.5
  assert others.count(None) == 30


def test_case_and_spaces_do_not_matter_and_short_texts_are_compared_as_a_whole(seen):
  seen = seen(Duplicates())
  assert seen.add("Good morning") is None
  assert seen.add("good  morning") == "near"
  assert seen.add("good evening") is None
  assert seen.add("x") is None and seen.add("X") == "near"


def test_both_can_be_switched_off(seen):
  seen = seen(Duplicates(exact=False, near=False))
  assert seen.add("a") is None and seen.add("a") is None


def test_what_was_committed_is_known_to_the_next_run(tmp_path):
  text, other = " ".join(prose()), " ".join(prose())
  with open_journal(tmp_path) as journal:
    Seen(Duplicates(), journal.database).add(text)
    journal.commit()
    Seen(Duplicates(), journal.database).add(other)
  with open_journal(tmp_path) as journal:
    seen = Seen(Duplicates(), journal.database)
    assert seen.add(text) == "exact" and seen.add(text + " w1") == "near"
    assert seen.add(other) is None


def test_the_estimate_is_near_the_similarity():
  rules = Duplicates(num_permutations=512)
  first = prose(1000)
  second = changed(first, 200)
  shingles = [{tuple(t[i : i + 5]) for i in range(996)} for t in (first, second)]
  similarity = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
  estimate = np.mean(rules.signature(" ".join(first)) == rules.signature(" ".join(second)))
  assert abs(estimate - similarity) < 0.08


def test_ranges_are_checked():
  for name, value in (("threshold", 0.05), ("num_permutations", 8), ("words", 0)):
    with pytest.raises(ValueError, match=name):
      Duplicates(**{name: value})

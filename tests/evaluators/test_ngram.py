import collections

import numpy as np
import pytest

from pretrainjax.evaluators.ngram import _discounts, fit_ngram, log_probabilities, predicted

VOCAB = 12


def corpus(count: int, *, seed: int, length: int = 9):
  """Documents of skewed tokens that depend on the one before; some of a single token."""
  rng = np.random.default_rng(seed)
  tokens, documents = [], []
  for document in range(count):
    token = int(rng.integers(VOCAB - 2))
    for _ in range(rng.integers(1, length)):
      tokens.append(token)
      documents.append(document)
      token = int(min(rng.geometric(0.4) + token // 3, VOCAB - 2))
  return np.array(tokens, np.int32), np.array(documents, np.int32)


def texts(tokens, documents):
  return [tokens[documents == d].tolist() for d in np.unique(documents)]


def discount(levels, k, count):
  return (0.0, *_discounts(np.array(list(levels[k].values()))))[min(count, 3)]


def brute_force(train, test, *, order):
  """The same model by dictionaries of tuples, from the formulas."""
  levels = {k: collections.Counter() for k in range(1, order + 1)}
  for text in train:
    padded = [None] * order + text
    for i in range(order + 1, len(padded)):
      for k in range(1, order + 1):
        levels[k][tuple(padded[i - k + 1 : i + 1])] += 1
  for k in range(1, order):
    levels[k] = collections.Counter(gram[1:] for gram in levels[k + 1])

  def probability(context, word):
    k = len(context) + 1
    shorter = probability(context[1:], word) if k > 1 else 1 / VOCAB
    after = {g[-1]: c for g, c in levels[k].items() if g[:-1] == context}
    if not after:
      return shorter
    total = sum(after.values())
    rest = sum(discount(levels, k, c) for c in after.values()) / total
    own = after.get(word, 0)
    return (own - discount(levels, k, own)) / total + rest * shorter

  return [
    probability(tuple(([None] * order + text)[i + 1 : i + order]), text[i])
    for text in test
    for i in range(1, len(text))
  ]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [4, 150])
def test_equals_a_brute_force_version(order, count):
  train, test = corpus(count, seed=1), corpus(20, seed=2)
  model = fit_ngram(*train, order=order, vocab_size=VOCAB)
  found = log_probabilities(model, *test)
  expected = brute_force(texts(*train), texts(*test), order=order)
  np.testing.assert_allclose(np.exp(found), expected, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_sum_to_one_for_seen_and_unseen_contexts(order):
  model = fit_ngram(*corpus(100, seed=1), order=order, vocab_size=VOCAB)
  for context in ([0], [3, 1, 2, 4], [11, 11, 11], [2, 11]):
    tokens = np.concatenate([[*context, word] for word in range(VOCAB)]).astype(np.int32)
    documents = np.repeat(np.arange(VOCAB), len(context) + 1)
    last = np.cumsum(predicted(documents))[len(context) :: len(context) + 1] - 1
    total = np.exp(log_probabilities(model, tokens, documents))[last].sum()
    assert total == pytest.approx(1.0, abs=1e-12)


def test_a_document_does_not_see_the_one_before():
  model = fit_ngram(*corpus(100, seed=1), order=3, vocab_size=VOCAB)
  first = np.array([5, 1, 2]), np.array([4, 1, 1, 2])
  together = np.concatenate(first)
  found = log_probabilities(model, together, np.repeat([0, 1], [3, 4]))
  apart = [log_probabilities(model, t, np.zeros(len(t), int)) for t in first]
  np.testing.assert_array_equal(found, np.concatenate(apart))


def test_longer_contexts_predict_a_language_that_has_them_better():
  train, test = corpus(3000, seed=1, length=30), corpus(200, seed=2, length=30)
  losses = [
    -log_probabilities(fit_ngram(*train, order=n, vocab_size=VOCAB), *test).mean() for n in (1, 2)
  ]
  assert losses[1] < losses[0] - 0.05


def test_discounts_of_known_counts():
  # Four n-grams seen once, three twice, two three times, one four times: 1 - 2 * 0.4 * 3 / 4, ...
  counts = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 0, 0])
  assert _discounts(counts) == pytest.approx((0.4, 2 - 3 * 0.4 * 2 / 3, 3 - 4 * 0.4 / 2))
  assert _discounts(np.array([1, 1, 2])) == (0.5, 1.0, 1.5)


def test_what_cannot_be_fitted_is_refused():
  with pytest.raises(ValueError, match="order=0"):
    fit_ngram(*corpus(5, seed=0), order=0, vocab_size=VOCAB)
  with pytest.raises(ValueError, match="found no token with one before it"):
    fit_ngram(np.arange(3), np.arange(3), order=2, vocab_size=VOCAB)

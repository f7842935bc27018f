import numpy as np
import pytest

from pretrainjax.evaluators.ngram import fit_ngram, log_probabilities
from pretrainjax.evaluators.ngram_backoff import backoff_of, fit_backoff

WORDS = ("<s>", "</s>", "<unk>", *"abcdefgh")


def corpus(count, *, seed):
  """Sentences between <s> and </s>, some without a word; h is in none."""
  rng = np.random.default_rng(seed)
  sentences = [[0, *rng.integers(3, 9, rng.integers(0, 6)), 1] for _ in range(count)]
  documents = np.repeat(np.arange(count), list(map(len, sentences)))
  return np.concatenate(sentences).astype(np.int32), documents


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_it_gives_the_probabilities_of_the_model_that_it_was_made_of(order):
  model = fit_ngram(*corpus(60, seed=0), order=order, vocab_size=len(WORDS))
  backoff = backoff_of(model, WORDS)
  tokens, documents = corpus(40, seed=1)
  tokens[np.flatnonzero(tokens > 2)[::9]] = 10  # a word that was never seen
  expected = log_probabilities(model, tokens, documents)
  found = []
  for document in range(40):
    context = backoff.start
    for word in tokens[documents == document][1:].tolist():
      found.append(backoff.log_prob(context, word))
      context = backoff.after(context, word)
  np.testing.assert_allclose(found, expected, rtol=1e-9)
  totals = [np.exp(backoff.log_probs(c)).sum() for c in list(backoff.following)[:20]]
  np.testing.assert_allclose(totals, 1.0, rtol=1e-5)


def test_sentences_of_words():
  model = fit_backoff([["a", "frog"], ["a", "fish"], ["a", "frog"]], order=3)
  assert model.words == ("<s>", "</s>", "<unk>", "a", "frog", "fish")
  frog, fish, other = (
    model.log_prob((0, 3), model.find(word)) for word in ("frog", "fish", "newt")
  )
  assert frog > fish > other > -20
  with pytest.raises(ValueError, match="found no sentence"):
    fit_backoff([], order=2)

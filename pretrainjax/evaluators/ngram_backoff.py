"""Our n-gram models as models that back off, which ARPA files hold and transcribing takes."""

import collections
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from pretrainjax.evaluators.ngram import NGram, fit_ngram
from pretrainjax.generation.backoff import BEGIN, END, UNKNOWN, Backoff, Context


def fit_backoff(sentences: Iterable[Sequence[str]], *, order: int) -> Backoff:
  """Fits a language model of sentences: interpolated modified Kneser-Ney, see `fit_ngram`.

  Args:
    sentences: the words of each, or whatever else is counted.
    order: the longest n-gram, at least 1.

  Raises:
    ValueError: where there is no sentence.

  >>> model = fit_backoff([["a", "frog"], ["a", "fish"], ["a", "frog"]], order=2)
  >>> likely = {word: model.log_prob((model.find("a"),), model.find(word)) for word in model.words}
  >>> max(likely, key=likely.get)
  'frog'
  """
  numbers = {BEGIN: 0, END: 1, UNKNOWN: 2}
  tokens: list[int] = []
  documents: list[int] = []
  for document, words in enumerate(sentences):
    found = [0, *(numbers.setdefault(word, len(numbers)) for word in words), 1]
    tokens += found
    documents += [document] * len(found)
  if not tokens:
    raise ValueError("found no sentence, expected some")
  arrays = (np.array(tokens, np.int32), np.array(documents))
  model = fit_ngram(*arrays, order=order, vocab_size=len(numbers))
  return backoff_of(model, tuple(numbers))


def backoff_of(model: NGram, words: Sequence[str]) -> Backoff:
  """The same probabilities, each n-gram with the shorter ones that it was interpolated with.

  Args:
    model: a model of documents that all begin with "<s>", which stands nowhere else.
    words: the spelling of each token; "<s>" among them.
  """
  begin = words.index(BEGIN)
  levels = _by_context(model)
  following: dict[Context, dict[int, float]] = {}
  backoffs: dict[Context, float] = {}

  def probability(context: Context, word: int) -> float:
    found = following.get(context, {}).get(word)
    if found is not None:
      return math.exp(found)
    if not context:
      return 1.0 / model.vocab_size
    return math.exp(backoffs.get(context, 0.0)) * probability(context[1:], word)

  for context in sorted(levels, key=len):
    # Behind <s> there are the contexts too that marks before a document's start fill up.
    parts = levels[context] if context[:1] == (begin,) else levels[context][:1]
    listed = set().union(*(shares for shares, _ in parts))
    listed = listed if context else range(model.vocab_size)
    rest = math.prod(rest for _, rest in parts)
    found = {}
    for word in listed:
      value = probability(context[1:], word) if context else 1.0 / model.vocab_size
      for shares, weight in parts:
        value = shares.get(word, 0.0) + weight * value
      found[word] = math.log(value)
    if found:
      following[context] = found
    if context and rest != 1.0:
      backoffs[context] = math.log(rest)
  return Backoff(tuple(words), following, backoffs)


def _by_context(model: NGram) -> dict[Context, list[tuple[dict[int, float], float]]]:
  """By context, without marks: (share of each word, weight of the shorter context) of each level.

  Contexts of several levels are those that marks fill up, which come in the order of levels.
  """
  mark = model.vocab_size
  grams: list[Context] = [()]
  found: dict[Context, list[tuple[dict[int, float], float]]] = collections.defaultdict(list)
  for i, level in enumerate(model.levels):
    contexts = grams
    count = len(contexts)
    keys = level.keys.tolist()
    if i == 0:
      grams = [(key,) for key in keys]
    else:
      grams = [(key // count, *contexts[key % count]) for key in keys]
    shares: dict[Context, dict[int, float]] = collections.defaultdict(dict)
    for gram, share in zip(grams, level.share.tolist(), strict=True):
      if share > 0:
        shares[gram[:-1]][gram[-1]] = share
    for context, rest in zip(contexts, level.rest.tolist(), strict=True):
      if context in shares or rest != 1.0:
        bare = tuple(itertools.dropwhile(lambda word: word == mark, context))
        found[bare].append((shares.get(context, {}), rest))
  return found

"""N-gram language models: interpolated modified Kneser-Ney, the yardstick of networks."""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# Discounts where a corpus is too small to estimate them: halfway between none and all.
_FALLBACK = (0.5, 1.0, 1.5)


class _Level(NamedTuple):
  """All n-grams of one length, by number.

  Attributes:
    keys: sorted; an n-gram's is (its first token, the number of the rest).
    share: the discounted part of each n-gram's probability given its context.
    rest: weight of the shorter context, by number of the context; 1 where it was never seen.
  """

  keys: Int[np.ndarray, " U"]
  share: Float[np.ndarray, " U"]
  rest: Float[np.ndarray, " U2"]


class NGram(NamedTuple):
  """A fitted n-gram language model.

  Attributes:
    levels: the levels of 1-grams, 2-grams, ... up to the order.
    vocab_size: tokens that can be predicted.
  """

  levels: tuple[_Level, ...]
  vocab_size: int


def predicted(documents: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
  """True for tokens with one before them in their document: what language models are scored on."""
  has_one = np.zeros(len(documents), bool)
  has_one[1:] = documents[1:] == documents[:-1]
  return has_one


def fit_ngram(
  tokens: Int[np.ndarray, " N"], documents: Int[np.ndarray, " N"], *, order: int, vocab_size: int
) -> NGram:
  """Counts n-grams within documents and smooths them.

  Args:
    tokens: the tokens of all documents, one after the other, each in [0, vocab_size).
    documents: a number for each token's document; neighbouring documents have different ones.
    order: longest n-gram, at least 1; 1 knows no context.
    vocab_size: number of tokens in the vocabulary, V.

  Reference: Chen and Goodman 1998, Harvard's TR-10-98 (not on arXiv), "modified Kneser-Ney" with
    three discounts a length. Ours fills contexts up with a mark before a document's start, does
    not predict a document's first token, and ends in the uniform distribution.
  """
  if order < 1:
    raise ValueError(f"order={order}: expected at least 1")
  targets = predicted(documents)
  if not targets.any():
    raise ValueError("an n-gram model: found no token with one before it, expected some")
  keys, grams = _number(tokens, documents, order=order, vocab_size=vocab_size)
  counts = [np.bincount(g[targets], minlength=len(k)) for g, k in zip(grams, keys, strict=True)]
  levels = []
  for i in range(order):
    count = counts[i]
    if i < order - 1:  # how many different tokens stand before it
      seen = np.flatnonzero(counts[i + 1])
      count = np.bincount(keys[i + 1][seen] % len(keys[i]), minlength=len(keys[i]))
    levels.append(_smooth(keys[i], count, *_contexts(grams, keys, targets, i)))
  return NGram(tuple(levels), vocab_size)


def log_probabilities(
  model: NGram, tokens: Int[np.ndarray, " N"], documents: Int[np.ndarray, " N"]
) -> Float[np.ndarray, " M"]:
  """Logarithms, in nats, of the probabilities of the tokens that `predicted` marks, in order.

  Args:
    model: a model of `fit_ngram`.
    tokens: the token ids of all documents, one behind the other.
    documents: the number of each token's document.
  """
  targets = np.flatnonzero(predicted(documents))
  probability = np.full(len(targets), 1 / model.vocab_size)
  shorter, grams = np.zeros(len(tokens), np.int64), np.asarray(tokens, np.int64)
  for i, level in enumerate(model.levels):
    if i:
      shorter = grams
      before = _before(tokens, documents, distance=i, mark=model.vocab_size)
      grams = _find(level.keys, before * len(model.levels[i - 1].keys) + grams, known=grams >= 0)
    context, gram = (shorter[targets - 1] if i else shorter[targets]), grams[targets]
    share = np.where(gram >= 0, level.share[gram], 0.0)
    seen = share + level.rest[context] * probability
    probability = np.where(context >= 0, seen, probability)
  return np.log(probability)


def _number(
  tokens: np.ndarray, documents: np.ndarray, *, order: int, vocab_size: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """(keys, number of the n-gram that ends at each position) of each length."""
  keys, grams = [np.arange(vocab_size)], [np.asarray(tokens, np.int64)]
  for distance in range(1, order):
    before = _before(tokens, documents, distance=distance, mark=vocab_size)
    unique, inverse = np.unique(before * len(keys[-1]) + grams[-1], return_inverse=True)
    keys.append(unique)
    grams.append(inverse)
  return keys, grams


def _before(
  tokens: np.ndarray, documents: np.ndarray, *, distance: int, mark: int
) -> Int[np.ndarray, " N"]:
  """The token so far before each; the mark where the document begins later."""
  found = np.full(len(tokens), mark, np.int64)
  inside = documents[distance:] == documents[:-distance]
  found[distance:][inside] = tokens[:-distance][inside]
  return found


def _find(keys: np.ndarray, wanted: np.ndarray, *, known: np.ndarray) -> Int[np.ndarray, " N"]:
  """Numbers of the wanted keys, -1 for those that are not there."""
  place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
  return np.where(known & (keys[place] == wanted), place, -1)


def _contexts(
  grams: list[np.ndarray], keys: list[np.ndarray], targets: np.ndarray, i: int
) -> tuple[Int[np.ndarray, " U"], int]:
  """The number of each n-gram's context, and how many contexts there are."""
  context = np.zeros(len(keys[i]), np.int64)
  if i == 0:
    return context, 1
  rows = np.flatnonzero(targets)
  context[grams[i][rows]] = grams[i - 1][rows - 1]
  return context, len(keys[i - 1])


def _smooth(keys: np.ndarray, count: np.ndarray, context: np.ndarray, num_contexts: int) -> _Level:
  """Takes a discount off each count, and gives what it gathers to the shorter context."""
  discount = np.array([0.0, *_discounts(count)])[np.minimum(count, 3)]
  gather = functools.partial(np.bincount, context, minlength=num_contexts)
  total = gather(weights=count)
  rest = np.divide(gather(weights=discount), total, out=np.ones(num_contexts), where=total > 0)
  share = (count - discount) / np.maximum(total, 1)[context]
  return _Level(keys, share, rest)


def _discounts(count: np.ndarray) -> tuple[float, float, float]:
  """What is taken from n-grams seen once, twice, and more often."""
  ones, twos, threes, fours = (int(np.sum(count == n)) for n in (1, 2, 3, 4))
  if not (ones and twos and threes and fours):
    return _FALLBACK
  ratio = ones / (ones + 2 * twos)
  raw = (1 - 2 * ratio * twos / ones, 2 - 3 * ratio * threes / twos, 3 - 4 * ratio * fours / threes)
  return tuple(min(max(d, 0.0), float(n)) for n, d in enumerate(raw, start=1))

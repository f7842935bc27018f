"""N-gram language models that back off to shorter contexts, as ARPA files hold them."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
# Of words that a file without <unk> does not have: KenLM's choice, 10 to the power of -100.
_NEVER = -100 * float(np.log(10))

# The numbers of words, oldest first.
Context = tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Backoff:
  """A language model of words, or of whatever else its entries are.

      p(w | c) = p listed for (c, w), or else backoff(c) * p(w | c without its first word)

  Attributes:
    words: the entries, by number.
    following: log-probabilities, in nats, of what is listed behind a context: {(): all words}.
    backoffs: the logarithms of backoff(c), 0 where there is none.
  """

  words: tuple[str, ...]
  following: Mapping[Context, Mapping[int, float]] = dataclasses.field(repr=False)
  backoffs: Mapping[Context, float] = dataclasses.field(repr=False)

  @functools.cached_property
  def number(self) -> Mapping[str, int]:
    """The number of each word."""
    return {word: i for i, word in enumerate(self.words)}

  @functools.cached_property
  def order(self) -> int:
    """The length of the longest n-gram."""
    return 1 + max(map(len, self.following))

  @property
  def start(self) -> Context:
    """The context of a sentence's first word."""
    begin = self.number.get(BEGIN)
    return () if begin is None else self.shortened((begin,))

  def find(self, word: str) -> int:
    """The number of a word; that of <unk>, or -1 without one, where it is not listed."""
    return self.number.get(word, self.number.get(UNKNOWN, -1))

  def log_prob(self, context: Context, word: int) -> float:
    """The logarithm, in nats, of the probability of a word behind a context.

    Args:
      context: the words before it, of which the last count.
      word: the number of the word, as of `find`.
    """
    context, total = self.shortened(context), 0.0
    while (found := self.following.get(context, {}).get(word)) is None:
      if not context:
        return total + _NEVER
      total += self.backoffs.get(context, 0.0)
      context = context[1:]
    return total + found

  def log_probs(self, context: Context) -> Float32[np.ndarray, " V"]:
    """The same of all words at once."""
    context = self.shortened(context)
    if context:
      found = self.log_probs(context[1:]) + np.float32(self.backoffs.get(context, 0.0))
    else:
      found = np.full(len(self.words), _NEVER, np.float32)
    listed = self.following.get(context, {})
    found[list(listed)] = list(listed.values())
    return found

  def after(self, context: Context, word: int) -> Context:
    """The context once a word has followed."""
    return self.shortened((*context, word))

  def shortened(self, context: Context) -> Context:
    """As much of the end of a context as changes what follows."""
    context = context[len(context) - min(len(context), self.order - 1) :]
    while context and context not in self.following and context not in self.backoffs:
      context = context[1:]
    return context

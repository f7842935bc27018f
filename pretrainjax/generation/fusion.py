"""What a language model adds to the search for a transcript, label by label."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int

from pretrainjax.generation.backoff import END, Backoff, Context

# Numbers that are remembered of states, in all.
_MOST = 1 << 24


@runtime_checkable
class Fusion(Protocol):
  """A score that is added to the acoustic one of a transcript, see `ctc_beam.beam_search`."""

  def start(self) -> Hashable:
    """The state of an empty transcript."""
    ...

  def scores(self, state: Any) -> Float32[np.ndarray, " K"]:
    """What each label adds that follows on a transcript of this state."""
    ...

  def extend(self, state: Any, label: int) -> Hashable:
    """The state once a label has followed."""
    ...

  def end(self, state: Any) -> float:
    """What it adds that the transcript ends here."""
    ...


class Length:
  """A bonus for each label and no language model.

  Args:
    num_labels: classes of the network, K.
    beta: the bonus of a label.
  """

  def __init__(self, num_labels: int, *, beta: float = 0.0):
    self._scores = np.full(num_labels, beta, np.float32)

  def start(self) -> None:
    """See `Fusion`."""

  def scores(self, state: None) -> Float32[np.ndarray, " K"]:
    """See `Fusion`."""
    return self._scores

  def extend(self, state: None, label: int) -> None:
    """See `Fusion`."""

  def end(self, state: None) -> float:
    """See `Fusion`."""
    return 0.0


class LabelModel:
  """A language model whose entries are labels: letters, or pieces of words.

      score(label) = alpha * log p(label | labels before it) + beta

  Args:
    model: the language model.
    entries: the number of each label in it, as of `Backoff.find`; K numbers.
    alpha: the weight of the language model, at least 0.
    beta: the bonus of a label, in nats.
  """

  def __init__(self, model: Backoff, entries: Int[np.ndarray, " K"], *, alpha: float, beta: float):
    self._model, self._entries = model, entries
    self._alpha, self._beta = np.float32(alpha), np.float32(beta)
    self._listed = entries >= 0
    self._cached = functools.lru_cache(max(_MOST // len(entries), 1))(self._scores)

  def start(self) -> Context:
    """See `Fusion`."""
    return self._model.start

  def scores(self, state: Context) -> Float32[np.ndarray, " K"]:
    """See `Fusion`."""
    return self._cached(state)

  def _scores(self, state: Context) -> Float32[np.ndarray, " K"]:
    never = np.float32(self._model.log_prob(state, -1))
    found = np.where(self._listed, self._model.log_probs(state)[self._entries], never)
    return self._alpha * found + self._beta

  def extend(self, state: Context, label: int) -> Context:
    """See `Fusion`."""
    return self._model.after(state, int(self._entries[label]))

  def end(self, state: Context) -> float:
    """See `Fusion`."""
    return _end(self._model, state, self._alpha)


@dataclasses.dataclass(frozen=True)
class Words:
  """A transcript as a language model of words sees it.

  Attributes:
    context: the words that are complete.
    begun: the labels of the one that is not.
  """

  context: Context
  begun: tuple[int, ...] = ()


class WordModel:
  """A language model of words, which scores each once the next one begins.

      score(label that begins a word) = alpha * log p(word before it | words before that) + beta

  Args:
    model: the language model.
    begins: True for labels that begin a word, a space among them; K values.
    spell: the text of some labels.
    alpha: the weight of the language model, at least 0.
    beta: the bonus of a word, in nats.
  """

  def __init__(
    self,
    model: Backoff,
    begins: Bool[np.ndarray, " K"],
    spell: Callable[[Sequence[int]], str],
    *,
    alpha: float,
    beta: float,
  ):
    self._model, self._begins, self._spell = model, begins, spell
    self._alpha, self._beta = np.float32(alpha), np.float32(beta)
    self._nothing = np.zeros(len(begins), np.float32)
    self._cached = functools.lru_cache(max(_MOST // len(begins), 1))(self._scores)
    self._completed = functools.lru_cache(1 << 16)(self._complete)

  def start(self) -> Words:
    """See `Fusion`."""
    return Words(self._model.start)

  def scores(self, state: Words) -> Float32[np.ndarray, " K"]:
    """See `Fusion`."""
    return self._cached(state) if state.begun else self._nothing

  def _scores(self, state: Words) -> Float32[np.ndarray, " K"]:
    return np.where(self._begins, np.float32(self._completed(state)[0]), self._nothing)

  def extend(self, state: Words, label: int) -> Words:
    """See `Fusion`."""
    if self._begins[label] and state.begun:
      return Words(self._completed(state)[1], (label,))
    return Words(state.context, (*state.begun, label))

  def end(self, state: Words) -> float:
    """See `Fusion`."""
    score, context = self._completed(state)
    return score + _end(self._model, context, self._alpha)

  def _complete(self, state: Words) -> tuple[float, Context]:
    """What the word that was begun adds, and the context behind it; a space alone is none."""
    score, context = 0.0, state.context
    for word in self._spell(state.begun).split():
      number = self._model.find(word)
      score += float(self._alpha) * self._model.log_prob(context, number) + float(self._beta)
      context = self._model.after(context, number)
    return score, context


def _end(model: Backoff, context: Context, alpha: np.float32) -> float:
  """What the end of a sentence adds; nothing where the model does not know one."""
  number = model.number.get(END)
  return 0.0 if number is None else float(alpha) * model.log_prob(context, number)

"""The likeliest transcripts by CTC: prefix beam search, with a language model or without."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pretrainjax.generation.ctc import Decoded
from pretrainjax.generation.fusion import Fusion, Length

# Frames after which prefixes are forgotten that led nowhere.
_SWEEP = 2000


def beam_search(
  log_probs: Float[np.ndarray, "N K"],
  *,
  blank_id: int,
  width: int,
  fusion: Fusion | None = None,
) -> list[Decoded]:
  """The best transcripts, best first: at most `width`.

      score(y) = log sum over paths that spell y of prod_n p_n(path_n) + fusion(y)

  A prefix keeps two sums, of paths that end in a blank and of those that end in its last label, so
  that the second of two equal labels grows out of the first one alone. With as many as there are
  prefixes the result is exact.

  Args:
    log_probs: the log-probabilities of the classes of each frame.
    blank_id: the class of the blank.
    width: the prefixes that are kept from frame to frame, at least 1.
    fusion: what a language model and the length add; None adds nothing.

  Reference: Hannun et al. 2014, arXiv 1408.2873, algorithm 1. Ours adds what the language model
    says in the logarithm.

  >>> logs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))  # the likeliest path is silence, .36
  >>> best = beam_search(logs, blank_id=0, width=4)[0]
  >>> best.labels, round(float(np.exp(best.score)), 2)
  ((1,), 0.64)
  """
  if width < 1:
    raise ValueError(f"width={width}: expected at least 1")
  fusion = Length(log_probs.shape[1]) if fusion is None else fusion
  prefixes = _Prefixes(fusion)
  beam = _Beam.of_nothing(fusion)
  for n, frame in enumerate(np.asarray(log_probs, np.float64), start=1):
    beam = _advanced(beam, frame, prefixes, blank_id=blank_id, width=width)
    if n % _SWEEP == 0:
      prefixes.forget_all_but(beam.prefix)
  ends = [fusion.end(prefixes.state[prefix]) for prefix in beam.prefix]
  scores = np.logaddexp(beam.blank, beam.label) + beam.added + ends
  order = np.argsort(-scores, kind="stable")
  return [Decoded(prefixes.labels(beam.prefix[i]), float(scores[i])) for i in order]


class _Prefixes:
  """A tree of prefixes by number; 0 is the empty one."""

  def __init__(self, fusion: Fusion):
    self._fusion, self._child, self._next = fusion, {}, 1
    self.state: dict[int, Any] = {0: fusion.start()}
    self.parent, self.last = {0: -1}, {0: -1}

  def grown(self, prefix: int, label: int) -> int:
    """The prefix with one label more: always the same one."""
    found = self._child.get((prefix, label))
    if found is None:
      found = self._child[prefix, label] = self._next
      self._next += 1
      self.parent[found], self.last[found] = prefix, label
      self.state[found] = self._fusion.extend(self.state[prefix], label)
    return found

  def scores(self, prefix: int) -> Float[np.ndarray, " K"]:
    """What each label adds that follows."""
    return self._fusion.scores(self.state[prefix])

  def labels(self, prefix: int) -> tuple[int, ...]:
    found = []
    while prefix:
      found.append(self.last[prefix])
      prefix = self.parent[prefix]
    return tuple(reversed(found))

  def forget_all_but(self, prefixes: list[int]) -> None:
    """Keeps some prefixes, and those that they begin with."""
    kept = {0, -1}
    for prefix in prefixes:
      while prefix not in kept:
        kept.add(prefix)
        prefix = self.parent[prefix]
    self._child = {key: child for key, child in self._child.items() if child in kept}
    for table in (self.state, self.parent, self.last):
      for prefix in table.keys() - kept:
        del table[prefix]


class _Beam(NamedTuple):
  """The prefixes that are kept, with the logarithms of their sums of paths.

  Attributes:
    prefix: the number of each prefix.
    blank: paths that end in a blank.
    label: paths that end in the last label.
    last: the last label, -1 for none.
    added: what the fusion has added so far.
    next: what it adds for each label that follows.
  """

  prefix: list[int]
  blank: Float[np.ndarray, " W"]
  label: Float[np.ndarray, " W"]
  last: Int[np.ndarray, " W"]
  added: Float[np.ndarray, " W"]
  next: Float[np.ndarray, "W K"]

  @classmethod
  def of_nothing(cls, fusion: Fusion) -> "_Beam":
    scores = fusion.scores(fusion.start())[None]
    zero, never = np.zeros(1), np.full(1, -np.inf)
    return cls([0], zero, never, np.full(1, -1), zero, scores)


def _advanced(
  beam: _Beam, frame: np.ndarray, prefixes: _Prefixes, *, blank_id: int, width: int
) -> _Beam:
  """The beam one frame on."""
  count = len(beam.prefix)
  both = np.logaddexp(beam.blank, beam.label)
  blank = both + frame[blank_id]
  label = np.where(beam.last >= 0, beam.label + frame[beam.last], -np.inf)
  grown = both[:, None] + frame[None]  # W K
  rows = np.flatnonzero(beam.last >= 0)
  grown[rows, beam.last[rows]] = beam.blank[rows] + frame[beam.last[rows]]
  grown[:, blank_id] = -np.inf
  _merge(beam, prefixes, grown, label)
  scores = np.concatenate(
    [np.logaddexp(blank, label) + beam.added, (grown + beam.added[:, None] + beam.next).reshape(-1)]
  )
  best = _highest(scores, width)
  stays, grows = best[best < count], best[best >= count] - count
  parents, labels = np.divmod(grows, len(frame))
  new = [
    prefixes.grown(beam.prefix[i], c)
    for i, c in zip(parents.tolist(), labels.tolist(), strict=True)
  ]
  added = beam.added[parents] + beam.next[parents, labels]
  following = [prefixes.scores(prefix) for prefix in new]
  return _Beam(
    [beam.prefix[i] for i in stays.tolist()] + new,
    np.concatenate([blank[stays], np.full(len(new), -np.inf)]),
    np.concatenate([label[stays], grown[parents, labels]]),
    np.concatenate([beam.last[stays], labels]),
    np.concatenate([beam.added[stays], added]),
    np.concatenate([beam.next[stays], following]) if new else beam.next[stays],
  )


def _merge(beam: _Beam, prefixes: _Prefixes, grown: np.ndarray, label: np.ndarray) -> None:
  """Adds to each prefix what grows into it from its parent, where that is kept too."""
  slot = {prefix: i for i, prefix in enumerate(beam.prefix)}
  pairs = [(slot.get(prefixes.parent[prefix], -1), i) for i, prefix in enumerate(beam.prefix)]
  parents, children = np.array([p for p in pairs if p[0] >= 0], np.int64).reshape(-1, 2).T
  last = beam.last[children]
  label[children] = np.logaddexp(label[children], grown[parents, last])
  grown[parents, last] = -np.inf


def _highest(scores: Float[np.ndarray, " M"], count: int) -> Int[np.ndarray, " W"]:
  """The places of the highest scores, in their order; never of one that cannot be."""
  if count < len(scores):
    best = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
  else:
    best = np.arange(len(scores))
  return np.sort(best[scores[best] > -np.inf])

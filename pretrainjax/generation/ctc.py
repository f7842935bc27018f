"""What a CTC network says by its likeliest class in each frame, and when it says it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Decoded(NamedTuple):
  """A transcript in labels.

  Attributes:
    labels: the labels, without blanks.
    score: what the search ranked it by: log-probabilities in nats, with what a language model and
      the length add.
  """

  labels: tuple[int, ...]
  score: float


class Spans(NamedTuple):
  """When each label of a transcript is said, in frames.

  Attributes:
    first: the first frame of each label.
    last: the last one.
  """

  first: Int[np.ndarray, " T"]
  last: Int[np.ndarray, " T"]


def collapse(path: Int[np.ndarray, " N"], *, blank_id: int) -> tuple[Int[np.ndarray, " T"], Spans]:
  """What a path spells: repetitions are one label, and blanks are none.

  Args:
    path: the class of each frame.
    blank_id: the class of the blank.

  Returns:
    The labels, and the frames of each.

  >>> labels, spans = collapse(np.array([0, 7, 7, 0, 7, 8]), blank_id=0)
  >>> labels.tolist(), spans.first.tolist(), spans.last.tolist()
  ([7, 7, 8], [1, 4, 5], [2, 4, 5])
  """
  path = np.asarray(path)
  changes = np.flatnonzero(path[1:] != path[:-1])
  first = np.append(0, changes + 1)[: len(path)]
  last = np.append(changes, len(path) - 1)[: len(first)]
  is_label = path[first] != blank_id
  return path[first[is_label]], Spans(first[is_label], last[is_label])


def greedy(log_probs: Float[np.ndarray, "N K"], *, blank_id: int) -> Decoded:
  """The labels of the likeliest path, whose log-probability is the score.

  The likeliest transcript may be another: it has many paths, and their sum counts.

  Args:
    log_probs: the log-probabilities of the classes of each frame.
    blank_id: the class of the blank.
  """
  labels, _ = collapse(log_probs.argmax(axis=1), blank_id=blank_id)
  return Decoded(tuple(labels.tolist()), float(log_probs.max(axis=1, initial=-np.inf).sum()))


def align(
  log_probs: Float[np.ndarray, "N K"], labels: Int[np.ndarray, " T"], *, blank_id: int
) -> Spans:
  """The frames of each label on the likeliest of all paths that spell a transcript (Viterbi).

  Args:
    log_probs: the log-probabilities of the classes of each frame.
    labels: the transcript, without blanks.
    blank_id: the class of the blank.

  Raises:
    ValueError: where there are too few frames, see `losses.ctc.can_align`.

  >>> logs = np.log(np.array([[0.1, 0.9], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]))
  >>> align(logs, np.array([1, 1]), blank_id=0).first.tolist()
  [0, 2]
  """
  labels = np.asarray(labels, np.int64)
  needed = len(labels) + int((labels[1:] == labels[:-1]).sum())
  if needed > len(log_probs):
    raise ValueError(f"{len(labels)} labels need {needed} frames, found {len(log_probs)}")
  if not len(labels):
    return Spans(labels, labels)
  states = np.full(2 * len(labels) + 1, blank_id)  # a blank, a label, a blank, ...
  states[1::2] = labels
  skips = np.zeros(len(states), bool)  # over the blank between two labels that differ
  skips[3::2] = labels[1:] != labels[:-1]
  path = _best_states(log_probs[:, states], skips)
  first, last = (np.searchsorted(path, 2 * np.arange(len(labels)) + 1, side) for side in _SIDES)
  return Spans(first, last - 1)


_SIDES = ("left", "right")


def _best_states(scores: Float[np.ndarray, "N S"], skips: np.ndarray) -> Int[np.ndarray, " N"]:
  """The state of each frame on the best path, which stays, goes one on, or skips one."""
  num_frames, num_states = scores.shape
  best = np.full(num_states, -np.inf)
  best[:2] = scores[0, :2]
  steps = np.zeros((num_frames, num_states), np.int8)  # how far the state before is behind
  for n in range(1, num_frames):
    ways = np.full((3, num_states), -np.inf)
    ways[0], ways[1, 1:] = best, best[:-1]
    ways[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
    steps[n] = ways.argmax(axis=0)
    best = ways.max(axis=0) + scores[n]
  path = np.empty(num_frames, np.int64)
  path[-1] = num_states - 1 if best[-1] >= best[-2] else num_states - 2
  for n in range(num_frames - 1, 0, -1):
    path[n - 1] = path[n] - steps[n, path[n]]
  return path

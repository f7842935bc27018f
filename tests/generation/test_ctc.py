import itertools

import numpy as np
import pytest

from pretrainjax.generation.ctc import align, collapse, greedy


def log_probs(*shape, seed=0):
  x = np.random.default_rng(seed).normal(size=shape)
  return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(
  ("path", "expected"),
  [
    ([], []),
    ([3, 3, 3], []),
    ([1], [1]),
    ([1, 1, 3, 1, 0, 0, 2], [1, 1, 0, 2]),
    ([3, 1, 2, 2], [1, 2]),
  ],
)
def test_repetitions_and_blanks_are_taken_out(path, expected):
  labels, spans = collapse(np.array(path, int), blank_id=3)
  assert labels.tolist() == expected
  spelt = [path[first : last + 1] for first, last in zip(*spans, strict=True)]
  assert [set(part) for part in spelt] == [{label} for label in expected]


def test_greedy_takes_the_likeliest_path():
  logs = log_probs(6, 4)
  found = greedy(logs, blank_id=0)
  paths = list(itertools.product(range(4), repeat=6))
  scores = [logs[np.arange(6), path].sum() for path in paths]
  best = paths[int(np.argmax(scores))]
  assert found.labels == tuple(k for k, _ in itertools.groupby(best) if k)
  assert found.score == pytest.approx(max(scores))
  assert greedy(logs[:0], blank_id=0).labels == ()


@pytest.mark.parametrize("labels", [[1], [1, 2], [2, 2], [1, 2, 1], [3, 3, 3]])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_alignment_is_the_likeliest_path_that_spells_the_labels(labels, seed):
  logs = log_probs(6, 4, seed=seed)
  paths = [
    path
    for path in itertools.product(range(4), repeat=6)
    if collapse(np.array(path), blank_id=0)[0].tolist() == labels
  ]
  best = max(paths, key=lambda path: logs[np.arange(6), path].sum())
  _, expected = collapse(np.array(best), blank_id=0)
  found = align(logs, np.array(labels), blank_id=0)
  assert [x.tolist() for x in found] == [x.tolist() for x in expected]


def test_alignment_of_nothing_and_of_too_much():
  assert align(log_probs(3, 4), np.array([], int), blank_id=0).first.tolist() == []
  assert align(log_probs(3, 4), np.array([1, 1]), blank_id=0).last.tolist() == [0, 2]
  with pytest.raises(ValueError, match="3 labels need 4 frames, found 3"):
    align(log_probs(3, 4), np.array([1, 1, 2]), blank_id=0)

"""Small labelled parts: the same share of each class, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrainjax.data.subset import held_out, so_many, stratified

LABELS = np.repeat(np.arange(5), [200, 100, 40, 10, 1])


def shuffled(seed: int) -> np.ndarray:
  return np.random.default_rng(seed).permutation(LABELS)


@pytest.mark.parametrize(
  ("fraction", "counts"),
  [(0.1, [20, 10, 4, 1, 1]), (0.01, [2, 1, 1, 1, 1]), (0.5, [100, 50, 20, 5, 1])],
)
def test_each_class_keeps_its_share_and_at_least_one(fraction, counts):
  labels = shuffled(0)
  chosen = stratified(labels, fraction=fraction, seed=0)
  assert np.bincount(labels[chosen]).tolist() == counts


def test_all_of_it_is_all_of_it():
  np.testing.assert_array_equal(stratified(shuffled(1), fraction=1.0, seed=3), np.arange(351))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), fraction=st.floats(0.01, 1.0))
def test_indices_are_sorted_distinct_and_deterministic(seed, fraction):
  labels = shuffled(seed)
  chosen = stratified(labels, fraction=fraction, seed=seed)
  assert (np.diff(chosen) > 0).all() and 0 <= chosen[0] and chosen[-1] < len(labels)
  np.testing.assert_array_equal(chosen, stratified(labels, fraction=fraction, seed=seed))


def test_other_seeds_choose_others_evenly():
  labels = np.zeros(100, int)
  counts = np.zeros(100)
  for seed in range(400):
    counts[stratified(labels, fraction=0.1, seed=seed)] += 1
  assert counts.min() > 15 and counts.max() < 70  # 40 expected, standard deviation 6


def test_one_class_does_not_change_what_others_keep():
  labels = shuffled(2)
  without = np.flatnonzero(labels != 1)
  kept = stratified(labels, fraction=0.1, seed=7)
  alone = without[stratified(labels[without], fraction=0.1, seed=7)]
  # Members are counted within the class, so the same ones are chosen.
  np.testing.assert_array_equal(kept[labels[kept] != 1], alone)


def test_a_smaller_share_is_a_part_of_a_larger_one():
  """So that 1% and 10% differ by added labels, and by nothing else."""
  labels = shuffled(3)
  small, large = (stratified(labels, fraction=f, seed=5) for f in (0.05, 0.3))
  assert set(small) <= set(large)


def test_each_class_holds_some_out_and_none_loses_all():
  labels = np.repeat([0, 1, 2], [100, 10, 1])
  mask = held_out(labels)
  assert [int(mask[labels == c].sum()) for c in (0, 1, 2)] == [5, 1, 0]
  np.testing.assert_array_equal(mask, held_out(labels))
  assert held_out(np.zeros(3, np.int32)).sum() == 1, "what rounds to nothing is one"
  assert not held_out(np.zeros(1, np.int32)).any()


@pytest.mark.parametrize(("per_class", "counts"), [(1, [1] * 5), (20, [20, 20, 20, 10, 1])])
def test_so_many_of_each_class_or_all_it_has(per_class, counts):
  labels = shuffled(4)
  chosen = so_many(labels, per_class=per_class, seed=1)
  assert np.bincount(labels[chosen]).tolist() == counts
  np.testing.assert_array_equal(chosen, so_many(labels, per_class=per_class, seed=1))
  assert set(so_many(labels, per_class=1, seed=1)) <= set(chosen)
  assert set(chosen) <= set(so_many(labels, per_class=per_class + 1, seed=1))


def test_other_seeds_choose_other_examples_of_each_class():
  labels = np.repeat([0, 1], 50)
  firsts = {tuple(so_many(labels, per_class=1, seed=seed)) for seed in range(20)}
  assert len(firsts) > 15 and all(a < 50 <= b for a, b in firsts)


def test_examples_without_a_class_are_a_class_of_a_share_and_none_of_a_number():
  labels = np.array([-1, 0, -1, 1, 0, -1])
  assert labels[so_many(labels, per_class=2, seed=0)].tolist() == [0, 1, 0]
  assert len(so_many(labels[:1], per_class=2, seed=0)) == 0
  assert sorted(labels[stratified(labels, fraction=0.5, seed=0)]) == [-1, -1, 0, 1]

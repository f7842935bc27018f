"""The split of a document depends on it alone."""

import numpy as np
import pytest

from pretrainjax.prepare.stages.holdout import Holdout, Stratified, stable_fraction


def test_fractions_are_kept_and_the_seed_moves_documents():
  rules = Holdout(test_fraction=0.2, validation_fraction=0.1)
  found = [rules.split_of(f"text {i}") for i in range(2000)]
  assert abs(found.count("test") - 400) < 60 and abs(found.count("validation") - 200) < 45
  other = Holdout(test_fraction=0.2, validation_fraction=0.1, seed=1)
  assert found != [other.split_of(f"text {i}") for i in range(2000)]
  assert rules.splits == ["train", "test", "validation"]


def test_the_hash_is_the_same_on_any_machine():
  assert stable_fraction("a", seed=0) == pytest.approx(0.5095025706, abs=1e-9)


def test_more_held_out_keeps_what_was():
  texts = [f"text {i}" for i in range(300)]
  few = {t for t in texts if Holdout(test_fraction=0.1).split_of(t) == "test"}
  assert few < {t for t in texts if Holdout(test_fraction=0.3).split_of(t) == "test"}


def test_nothing_held_out():
  rules = Holdout(test_fraction=0.0)
  assert rules.splits == ["train"] and rules.split_of("x") == "train"


def test_ranges_are_checked():
  with pytest.raises(ValueError, match="test_fraction=1.0"):
    Holdout(test_fraction=1.0)
  with pytest.raises(ValueError, match="expected a sum below 1"):
    Holdout(test_fraction=0.5, validation_fraction=0.5)


def test_holdout_takes_the_same_share_of_each_class():
  labels = np.repeat([0, 1, 2], [10, 20, 40])
  held = Stratified(0.1, seed=0).chosen(labels)
  assert np.bincount(labels[held]).tolist() == [1, 2, 4]
  np.testing.assert_array_equal(held, Stratified(0.1, seed=0).chosen(labels))
  assert (held != Stratified(0.1, seed=1).chosen(labels)).any()

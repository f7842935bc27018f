import dataclasses

import numpy as np
import pytest
from item_sets import split, write_tastes

from pretrainjax.evaluators import ease
from pretrainjax.evaluators.ease import EASE, ease_weights
from pretrainjax.evaluators.item_baseline import user_pairs
from pretrainjax.evaluators.ranking_base import read_split


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return {name: split(data_dir, which) for name, which in (("data", "test"), ("train", "train"))}


def dense(rows) -> np.ndarray:
  took = np.zeros((rows.num_users, rows.num_items + 1))
  for i in range(len(rows)):
    took[rows.users[i], rows.items[rows.row(i)]] = 1
  return took


@pytest.mark.parametrize("l2", [0.5, 20.0])
def test_each_column_is_the_ridge_regression_on_all_other_items(data, l2, monkeypatch):
  """The problem that the closed form solves, item by item."""
  monkeypatch.setattr(ease, "_USERS_AT_ONCE", 7)
  train = read_split(data["train"], field="train")
  took = dense(train)
  found = ease_weights(user_pairs(train), num_items=train.num_items, l2=l2)
  for item in range(1, train.num_items + 1):
    others = np.delete(took, item, axis=1)
    gram = others.T @ others + l2 * np.eye(others.shape[1])
    expected = np.linalg.solve(gram, others.T @ took[:, item])
    np.testing.assert_allclose(np.delete(found[:, item], item), expected, atol=1e-5)
    assert found[item, item] == 0
  assert not found[0].any() and not found[:, 0].any()


def test_scores_are_products_of_histories(data):
  train, rows = (read_split(data[name], field=name) for name in ("train", "data"))
  scores = EASE(**data).fitted(train, l2=1.0)(rows, slice(2, 9))
  weights = ease_weights(user_pairs(train), num_items=12, l2=1.0)
  expected = [weights[np.unique(rows.items[rows.row(i)])].sum(0) for i in range(2, 9)]
  np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_it_is_left_out_in_a_line_where_there_are_too_many_items(data):
  found = EASE(**data, max_items=11)
  reason = found.reason_to_leave_out(key="config.evals.ease")
  assert reason == "config.evals.ease.max_items is 11, and the catalogue has 12"
  assert dataclasses.replace(found, max_items=12).reason_to_leave_out(key="x") is None


def test_what_one_likes_is_found(data):
  found = EASE(**data, k=(5,), l2=(2.0,)).run(None)
  assert found["warm_hr@5"] == 1.0 and found["l2"] == 2.0

import numpy as np
import pytest
from item_sets import split, write_tastes

from pretrainjax.evaluators import item_knn
from pretrainjax.evaluators.item_baseline import user_pairs
from pretrainjax.evaluators.item_knn import ItemKNN, neighbours_of
from pretrainjax.evaluators.ranking_base import read_split

OPTIONS = [(3, 0.0), (2, 5.0), (50, 10.0)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return {"data": split(data_dir, "test"), "train": split(data_dir, "train")}


def reference(took: np.ndarray, neighbours: int, shrinkage: float) -> np.ndarray:
  """The similarities of each item (column) to its neighbours (row), by dense matrices."""
  both = took.T @ took
  norm = np.sqrt(np.outer(np.diag(both), np.diag(both))) + shrinkage
  similar = np.divide(both, norm, out=np.zeros_like(both), where=norm > 0)
  np.fill_diagonal(similar, 0)
  for column in similar.T:
    column[np.argsort(-column, kind="stable")[neighbours:]] = 0
  return similar


def dense(rows) -> np.ndarray:
  took = np.zeros((len(rows), rows.num_items + 1))
  for i in range(len(rows)):
    took[i, rows.items[rows.row(i)]] = 1
  return took


@pytest.mark.parametrize("pairs_at_once", [1, 50, 2**24])
@pytest.mark.parametrize(("neighbours", "shrinkage"), OPTIONS)
def test_scores_equal_those_of_dense_matrices(
  data, neighbours, shrinkage, pairs_at_once, monkeypatch
):
  monkeypatch.setattr(item_knn, "_MAX_PAIRS", pairs_at_once)
  train = read_split(data["train"], field="train")
  rows = read_split(data["data"], field="data")
  options = {"neighbours": neighbours, "shrinkage": shrinkage}
  scores = ItemKNN(**data).fitted(train, **options)(rows, slice(0, len(rows)))
  expected = dense(rows) @ reference(dense(train), **options)
  np.testing.assert_allclose(scores, expected, rtol=1e-5)
  assert not scores[19].any()  # who took nothing


def test_an_item_has_as_many_neighbours_as_asked_for(data):
  train = read_split(data["train"], field="train")
  found = neighbours_of(user_pairs(train), num_items=12, neighbours=2, shrinkage=0.0)
  assert np.bincount(found.items).max() == 2 and len(found.offsets) == 14


def test_what_one_likes_is_found(data):
  """Even users take even items: above a list of what is popular with all."""
  found = ItemKNN(**data, k=(5,)).run(None)
  assert found["warm_hr@5"] == 1.0
  assert found["neighbours"] == 100.0 and found["shrinkage"] == 10.0

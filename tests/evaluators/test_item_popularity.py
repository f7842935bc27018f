import numpy as np
import pytest
from item_sets import split, write_tastes

from pretrainjax.evaluators.item_popularity import Popularity, WindowedPopularity, windowed_counts
from pretrainjax.evaluators.ranking_base import read_split


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return {
    "data": split(data_dir, "test"),
    "train": split(data_dir, "train"),
    "validation": split(data_dir, "validation"),
  }


def test_all_get_what_has_most_events(data):
  train = read_split(data["train"], field="train")
  scores = Popularity(data=data["data"], train=data["train"]).fitted(train)(train, slice(0, 3))
  counts = np.bincount(train.items, minlength=13)
  assert scores.shape == (3, 13) and (scores[0] == scores[2]).all()
  for i in range(1, 13):
    for j in range(1, 13):
      assert (scores[0, i] > scores[0, j]) == (counts[i] > counts[j])


def test_the_window_counts_the_last_days_and_ties_go_by_all_events(data):
  """On the last day each user took 11 or 12; before that item 11 is nobody's."""
  train = read_split(data["train"], field="train")
  late, always = (windowed_counts(train, days=days) for days in (7.0, 1000.0))
  counts = np.bincount(train.items, minlength=13)
  assert late[11:].astype(int).tolist() == [9, 9] and (late[1:11] < 1).all()
  np.testing.assert_array_equal(np.argsort(late[1:11]), np.argsort(counts[1:11] / 100))
  np.testing.assert_array_equal(always.astype(int), counts)


def test_the_last_days_are_what_a_user_without_history_takes(data):
  """User 19 takes item 12, which all others take last."""
  windowed = WindowedPopularity(**data, k=(2,)).run(None)
  assert windowed["cold_hr@2"] == 0.5 > Popularity(**data, k=(2,)).run(None)["cold_hr@2"]
  assert windowed["days"] == 7.0


def test_without_times_there_is_no_window(tmp_path):
  write_tastes(tmp_path, facts={"times": "rows"})
  baseline = WindowedPopularity(data=split(tmp_path, "test"), train=split(tmp_path, "train"))
  assert baseline.reason_to_leave_out(key="config.evals.w") == "config.evals.w.train has no times"


def test_with_times_it_runs(data):
  assert WindowedPopularity(**data).reason_to_leave_out(key="config.evals.w") is None

import numpy as np
import pytest
import recbole_side_by_side
from item_sets import NUM_ITEMS, split, write_tastes
from recbole_side_by_side import measured, training_rows, with_targets, write_files

from pretrainjax.evaluators.item_popularity import Popularity
from pretrainjax.evaluators.ranking_base import read_split

ITEMS = np.array([5, 6, 7, 8])


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return {n: read_split(split(data_dir, n), field=n) for n in ("train", "validation", "test")}


@pytest.mark.parametrize(
  ("options", "expected"),
  [
    ({"length": 2, "targets": 9, "by_user": False}, [([5], 6), ([5, 6], 7), ([6, 7], 8)]),
    ({"length": 9, "targets": 1, "by_user": False}, [([5, 6, 7], 8)]),
    ({"length": 2, "targets": 9, "by_user": True}, [([6, 7], 8)]),
  ],
)
def test_rows_are_the_newest_events_with_what_came_before(options, expected):
  found = [(seen.tolist(), target) for seen, target in training_rows(ITEMS, **options)]
  assert found == expected
  assert not [*training_rows(ITEMS[:1], **options)], "nothing comes before a single event"


def test_files_are_as_recbole_reads_them(splits, tmp_path):
  counts = write_files(splits, tmp_path, length=3, targets=2, by_user=False)
  assert counts == {"train": 36, "validation": 18, "test": 20}
  lines = (tmp_path / "log.test.inter").read_text().splitlines()
  assert lines[0] == "user_id:token\titem_id:token\titem_id_list:token_seq"
  rows = splits["test"]
  newest = rows.items[rows.row(3)][-3:]
  assert lines[4] == f"3\t{rows.targets[3]}\t{' '.join(map(str, newest))}"


def test_scores_of_either_side_are_measured_as_an_evaluator_measures(splits, tmp_path):
  """In another order of users, as RecBole may have them."""
  rows, train = splits["test"], splits["train"]
  counts = np.bincount(train.items, minlength=NUM_ITEMS + 1).astype(np.float32)
  order = np.random.default_rng(0).permutation(len(rows))
  scores = (counts[None] + np.arange(len(rows), dtype=np.float32)[:, None])[order]
  np.savez(tmp_path / "x.npz", scores=scores, users=rows.users[order])
  with_targets(tmp_path / "x.npz", rows)
  with np.load(tmp_path / "x.npz") as file:
    assert file["users"].tolist() == rows.users.tolist()
    assert (np.diff(file["scores"][:, 1]) == 1).all() and (file["targets"] == rows.targets).all()
  for seen in ("shown", "filtered"):
    found = measured(tmp_path / "x.npz", splits, seen=seen)
    assert 0 < found["ndcg@10"] < 1 and set(recbole_side_by_side.METRICS.values()) < {*found}


def test_ours_is_the_number_of_the_evaluator(tmp_path):
  write_tastes(tmp_path)
  data = {name: split(tmp_path, name) for name in ("train", "validation", "test")}
  splits = {name: read_split(one, field=name) for name, one in data.items()}
  baseline = Popularity(data=data["test"], train=data["train"], seen="shown")
  scores = baseline.fitted(splits["train"])(splits["test"], slice(0, len(splits["test"])))
  np.savez(tmp_path / "x.npz", scores=scores)
  assert measured(tmp_path / "x.npz", splits, seen="shown") == baseline.run(None)

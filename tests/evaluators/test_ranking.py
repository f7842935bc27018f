import dataclasses

import numpy as np
import pytest
from fake_encoders import identity
from flax import nnx
from item_sets import NUM_ITEMS, TinyRecommender, recommender, split, write_tastes

from pretrainjax.evaluators import ranked_items
from pretrainjax.evaluators.compare import RANDOM_INIT, TRAINED, Subject, compare
from pretrainjax.evaluators.item_popularity import Popularity
from pretrainjax.evaluators.ranking import Ranking


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return data_dir


def by_hand(folder, *, seen: str, k: int) -> dict[str, float]:
  """The metrics by loops over users and items."""
  rows, network = Ranking(data=split(folder, "test")).rows, recommender()
  table, bias = (np.asarray(x)[: NUM_ITEMS + 1] for x in network.candidates())
  gains, hits, reciprocal, cold = [], [], [], []
  for i, target in enumerate(rows.targets):
    history = rows.items[rows.row(i)]
    newest = history[-3:]
    query = table[newest].mean(0) if len(newest) else np.zeros(table.shape[1])
    scores = table @ query + bias
    hidden = {*history.tolist()} - {target} if seen == "filtered" else set()
    shown = [j for j in range(1, NUM_ITEMS + 1) if j not in hidden]
    rank = 1 + sum(scores[j] > scores[target] for j in shown)
    gains.append(1 / np.log2(1 + rank) if rank <= k else 0.0)
    hits.append(rank <= k)
    reciprocal.append(1 / rank)
    cold.append(rows.num_train[i] == 0)
  gains, cold = np.array(gains), np.array(cold)
  return {
    f"ndcg@{k}": gains.mean(),
    f"hr@{k}": np.mean(hits),
    "mrr": np.mean(reciprocal),
    f"cold_ndcg@{k}": gains[cold].mean(),
    f"warm_ndcg@{k}": gains[~cold].mean(),
  }


@pytest.mark.parametrize("seen", ["filtered", "shown"])
def test_numbers_equal_those_by_hand(folder, seen, monkeypatch):
  monkeypatch.setattr(ranked_items, "_MAX_ITEMS", 5)
  monkeypatch.setattr(ranked_items, "_MAX_USERS", 6)
  found = Ranking(data=split(folder, "test"), seen=seen, k=(4,)).run(recommender())
  for name, value in by_hand(folder, seen=seen, k=4).items():
    np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
  assert 0 < found["coverage@4"] <= 1 and found["novelty@4"] > 0


def test_what_was_seen_is_hidden_beyond_what_the_network_reads(folder):
  """Rows of batches hold three events of seven."""
  asked = Ranking(data=split(folder, "test")).asked
  assert (np.diff(asked.offsets)[:18] == 7).all()


def test_a_random_network_and_no_random_baseline_stand_beside_it(folder):
  data, train = split(folder, "test"), split(folder, "train")
  evaluators = {"ranking": Ranking(data=data), "popularity": Popularity(data=data, train=train)}
  other = TinyRecommender(rngs=nnx.Rngs(1))
  found = compare(evaluators, Subject(recommender()), Subject(other), checkpoint="/w", step=1)
  kinds = {(row.evaluator, row.encoder) for row in found.rows}
  assert kinds == {("ranking", TRAINED), ("ranking", RANDOM_INIT), ("popularity", TRAINED)}


def test_a_network_that_recommends_nothing_or_of_other_items_is_refused(folder):
  ranking = Ranking(data=split(folder, "test"))
  with pytest.raises(ValueError, match="found TinyEncoder, expected a recommender"):
    ranking.check(identity())
  with pytest.raises(ValueError, match="data: found 12 items, expected the network's 7"):
    ranking.check(TinyRecommender(7, rngs=nnx.Rngs(0)))
  bad = TinyRecommender(rngs=nnx.Rngs(0))
  bad.bias.set_value(bad.bias[...] * np.nan)
  with pytest.raises(ValueError, match="scores of items are not finite"):
    ranking.run(bad)


def test_other_parameters_are_other_numbers(folder):
  ranking = Ranking(data=split(folder, "test"))
  other = TinyRecommender(rngs=nnx.Rngs(5))
  assert ranking.run(other) != ranking.run(recommender())
  assert dataclasses.replace(ranking).run(other) == ranking.run(other)

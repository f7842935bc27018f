import numpy as np
import pytest
from fake_texts import ArrayTexts, TinyText, random_texts
from flax import nnx

from pretrainjax.evaluators import retrieval as retrieval_module
from pretrainjax.evaluators.pairs import directions, pair_features
from pretrainjax.evaluators.retrieval import Retrieval, partner_ranks, retrieval_metrics


def points(count, *, noise, seed=0):
  rng = np.random.default_rng(seed)
  first = rng.normal(size=(count, 6))
  second = first + noise * rng.normal(size=(count, 6))
  return [directions(x).astype(np.float32) for x in (first, second)]


def reference(queries, candidates):
  order = np.argsort(-(queries @ candidates.T), axis=1, kind="stable")
  return (order == np.arange(len(queries))[:, None]).argmax(axis=1)


@pytest.mark.parametrize("count", [1, 30, 57])
def test_ranks_equal_a_sort_whatever_the_chunks(count, monkeypatch):
  queries, candidates = points(count, noise=1.0)
  expected = reference(queries, candidates)
  np.testing.assert_array_equal(partner_ranks(queries, candidates), expected)
  monkeypatch.setattr(retrieval_module, "_MAX_SIMILARITIES", 11 * count)
  np.testing.assert_array_equal(partner_ranks(queries, candidates), expected)


def test_metrics_of_known_ranks():
  metrics = retrieval_metrics(np.array([0, 3, 1, 0]), k=(1, 2, 5))
  assert metrics == {"recall@1": 0.5, "recall@2": 0.75, "mrr": (1 + 1 / 4 + 1 / 2 + 1) / 4}


def test_collapsed_features_are_at_chance():
  same = np.ones((50, 3), np.float32) / 3**0.5
  assert retrieval_metrics(partner_ranks(same, same), k=(1,))["recall@1"] == 1 / 50


def test_it_retrieves_both_ways():
  encoder, texts = TinyText(rngs=nnx.Rngs(0)), random_texts(30, shortest=6, views=2)
  texts["tokens"][:20, 1] = texts["tokens"][:20, 0]
  texts["segments"][:20, 1] = texts["segments"][:20, 0]
  data = ArrayTexts(texts)
  metrics = Retrieval(data=data).run(encoder)
  first, second = pair_features(encoder, data)
  for prefix, ranks in (("", reference(first, second)), ("reverse_", reference(second, first))):
    assert metrics[f"{prefix}recall@1"] == np.mean(ranks < 1) > 0.5
    assert metrics[f"{prefix}recall@10"] == np.mean(ranks < 10)
    assert metrics[f"{prefix}mrr"] == pytest.approx(np.mean(1 / (ranks + 1)))


def test_protocol_says_how_many_candidates_there_are():
  data = ArrayTexts(random_texts(30, views=2))
  assert Retrieval(data=data).protocol()["candidates"] == 30
  assert Retrieval(data=data, max_examples=9).protocol()["candidates"] == 9
  with pytest.raises(ValueError, match="k=.*expected at least 1"):
    Retrieval(data=data, k=(0,))

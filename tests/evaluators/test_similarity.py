import numpy as np
import pytest
from fake_texts import ArrayTexts, TinyText, random_texts
from flax import nnx
from scipy import stats

from pretrainjax.evaluators.pairs import pair_features
from pretrainjax.evaluators.similarity import Similarity


def test_correlations_equal_scipys():
  texts, encoder = random_texts(29, views=2), TinyText(rngs=nnx.Rngs(0))
  scores = np.random.default_rng(0).integers(0, 6, 29).astype(np.float32)
  data = ArrayTexts(texts | {"score": scores})
  metrics = Similarity(data=data).run(encoder)
  cosine = np.sum(np.multiply(*pair_features(encoder, data)), axis=1)
  assert metrics["spearman"] == pytest.approx(stats.spearmanr(cosine, scores).statistic)
  assert metrics["pearson"] == pytest.approx(stats.pearsonr(cosine, scores).statistic, rel=1e-5)


def test_scores_are_needed():
  with pytest.raises(ValueError, match="data: found no scores"):
    Similarity(data=ArrayTexts(random_texts(5, views=2))).run(TinyText(rngs=nnx.Rngs(0)))
  assert Similarity(data=ArrayTexts(random_texts(5, views=2))).protocol()["views"] == 2

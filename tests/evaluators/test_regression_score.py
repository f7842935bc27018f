import functools

import numpy as np
import pytest
from fake_encoders import identity
from fake_texts import ArrayTexts, TinyText, random_texts, text_of
from flax import nnx
from scipy import stats

from pretrainjax.evaluators.regression_score import RegressionScore
from pretrainjax.models.heads import Head
from pretrainjax.objectives.supervised.regression import Regression

HEAD = functools.partial(Head, in_dim=8, num_classes=1, init_std=0.5)


def test_numbers_equal_scipy_in_the_unit_of_the_scores():
  objective = Regression(backbone=TinyText, head=HEAD, score_range=(0, 5))
  module = objective.init(rngs=nnx.Rngs(0))
  texts = random_texts(21)
  scores = np.random.default_rng(0).uniform(0, 5, 21).astype(np.float32)
  metrics = RegressionScore(data=ArrayTexts(texts | {"score": scores})).run(module)
  found = 5 * np.asarray(module.head(module.encoder(text_of(texts)).pooled))[:, 0]
  assert metrics["mse"] == pytest.approx(np.mean((found - scores) ** 2), rel=1e-5)
  assert metrics["spearman"] == pytest.approx(stats.spearmanr(found, scores).statistic)
  assert metrics["pearson"] == pytest.approx(stats.pearsonr(found, scores).statistic, rel=1e-5)


def test_what_does_not_serve_is_refused():
  with pytest.raises(ValueError, match="found a TinyEncoder without 'scores'"):
    RegressionScore(data=ArrayTexts(random_texts(3))).run(identity())
  module = Regression(backbone=TinyText, head=HEAD).init(rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="data: found no scores"):
    RegressionScore(data=ArrayTexts(random_texts(3))).run(module)

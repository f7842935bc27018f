import math

import numpy as np
import pytest
from scipy import stats

from pretrainjax.evaluators.correlation import pearson, spearman


@pytest.mark.parametrize("levels", [3, 1000])
def test_equals_scipy_with_ties_and_without(levels):
  rng = np.random.default_rng(levels)
  x = rng.integers(0, levels, 200).astype(np.float32)
  y = (x + rng.normal(size=200) * levels / 2).astype(np.float32)
  assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, rel=1e-6)
  assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, rel=1e-9)


def test_only_the_order_counts_for_spearman():
  x = np.array([0.1, 0.5, 0.2, 0.9])
  assert spearman(x, np.exp(9 * x)) == pytest.approx(1.0)
  assert spearman(x, -x) == pytest.approx(-1.0)
  assert pearson(x, np.exp(9 * x)) < 0.9


def test_a_constant_goes_with_nothing():
  assert math.isnan(pearson(np.full(5, 0.1), np.arange(5.0)))
  assert math.isnan(spearman(np.arange(5.0), np.full(5, 0.1)))

"""How well predictions go with true scores."""

import numpy as np
from jaxtyping import Float


def pearson(x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"]) -> float:
  """The linear correlation, in [-1, 1]; NaN where one of the two is constant."""
  x, y = (v.astype(np.float64) - np.mean(v, dtype=np.float64) for v in (x, y))
  size = float(np.sqrt(np.sum(x * x) * np.sum(y * y)))
  # Rounding leaves a constant with a tiny deviation, which must not be blown up.
  return float(np.sum(x * y)) / size if size > 1e-12 * len(x) else float("nan")


def spearman(x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"]) -> float:
  """The correlation of ranks, equal values sharing their mean rank; NaN where one is constant."""
  return pearson(_ranks(x), _ranks(y))


def _ranks(values: np.ndarray) -> Float[np.ndarray, " N"]:
  _, place, count = np.unique(values, return_inverse=True, return_counts=True)
  return (np.cumsum(count) - (count - 1) / 2)[place]

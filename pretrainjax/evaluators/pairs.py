"""Features of examples that come in two views, as points on the unit sphere."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pretrainjax.evaluators.base import Examples
from pretrainjax.evaluators.features import extract_features


class Pairs(NamedTuple):
  """The features of pairs: two points an example, each of length 1.

  Attributes:
    first: vectors of view 0, of length 1.
    second: vectors of view 1, of length 1.
  """

  first: Float[np.ndarray, "N D"]
  second: Float[np.ndarray, "N D"]


def pair_features(
  subject: Any, data: Examples, *, max_examples: int | None = None, seed: int = 0
) -> Pairs:
  """Encodes both views of a dataset; see `extract_features`.

  Args:
    subject: the encoder, or a cache of its features.
    data: the examples, in two views each.
    max_examples: the size of a random sample; None takes all.
    seed: the seed of the sample.
  """
  views = (
    extract_features(subject, data, view=view, max_examples=max_examples, seed=seed).features
    for view in (0, 1)
  )
  return Pairs(*(directions(features) for features in views))


def directions(features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
  """Each row divided by its length; zeros stay zeros."""
  norm = np.linalg.norm(features, axis=1, keepdims=True)
  return features / np.maximum(norm, 1e-12)

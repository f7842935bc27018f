"""Whether the similarity of two texts' features goes with what people say of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from pretrainjax.evaluators.bar import batches_of
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome
from pretrainjax.evaluators.correlation import pearson, spearman
from pretrainjax.evaluators.pairs import pair_features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Similarity(Evaluation):
  """Correlation of the cosine similarity of view 0 and view 1 with the examples' scores.

  Metrics: "spearman", which the literature reports, and "pearson", both in [-1, 1], over all
  examples at once.

  Attributes:
    data: pairs as views, with "score".

  Reference: SimCSE, arXiv 2104.08821, appendix B, whose "all" setting this is.
  """

  name: str = "similarity"
  data: Examples
  arrays: ClassVar[Mapping[str, str]] = {"data": "score"}

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    scores = _scores_of(self.data)
    pairs = pair_features(subject, self.data)
    cosine = np.sum(pairs.first * pairs.second, axis=1)
    return Outcome({"spearman": spearman(cosine, scores), "pearson": pearson(cosine, scores)})

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"views": 2, "probe": "none: cosine similarity"}


def _scores_of(data: Examples) -> Float[np.ndarray, " N"]:
  """The scores of a dataset, in order.

  Raises:
    ValueError: where there are none.
  """
  parts = []
  for batch in batches_of(data, what="scores"):
    if "score" not in batch:
      raise ValueError("data: found no scores, expected a dataset with a feature 'score'")
    parts.append(np.asarray(batch["score"])[np.asarray(batch["valid"])])
  if not parts:
    raise ValueError("data: found no example, expected some")
  return np.concatenate(parts)

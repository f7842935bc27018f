"""Whether an example's other view is the nearest among all of them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pretrainjax.evaluators.accuracy import ranks
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome
from pretrainjax.evaluators.pairs import pair_features
from pretrainjax.ranges import PositiveInt, Seed

# Similarities held at once: 2**26 float32 are 256 MiB.
_MAX_SIMILARITIES = 2**26


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieval(Evaluation):
  """Finds view 1 by view 0 among the second views of all examples, and the other way round.

  Candidates are ordered by cosine similarity. Metrics: "recall@1" and so on, the share of queries
  whose own partner is among the first k, and "mrr", the mean of 1 / place; with "reverse_" in
  front from view 1 to view 0. A k above the number of examples is left out.

  Attributes:
    data: examples of two views, such as a text and its summary.
    k: places that count as found, each at least 1.
    max_examples: take a random subset of so many, which makes the task easier; None takes all.
    seed: the seed of the subset.
  """

  name: str = "retrieval"
  data: Examples
  k: tuple[PositiveInt, ...] = (1, 5, 10)
  max_examples: PositiveInt | None = None
  seed: Seed = 0

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    pairs = pair_features(subject, self.data, max_examples=self.max_examples, seed=self.seed)
    forth = retrieval_metrics(partner_ranks(pairs.first, pairs.second), k=self.k)
    back = retrieval_metrics(partner_ranks(pairs.second, pairs.first), k=self.k)
    return Outcome(forth | {f"reverse_{name}": value for name, value in back.items()})

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    candidates = {"candidates": self.max_examples or self.data.num_examples}
    return super().protocol() | candidates | {"views": 2, "probe": "none: cosine similarity"}


def partner_ranks(
  queries: Float[np.ndarray, "N D"], candidates: Float[np.ndarray, "N D"]
) -> Int[np.ndarray, " N"]:
  """The number of candidates placed before a query's own, which has the same row; 0 is the first.

  Args:
    queries: vectors of length 1; any points whose inner products are the similarities.
    candidates: the vectors to find, of length 1 too; of equal similarities the lower row comes
      first.
  """
  size = max(1, min(_MAX_SIMILARITIES // len(candidates), 1024, len(queries)))
  keys, parts = jnp.asarray(candidates), []
  for start in range(0, len(queries), size):
    rows = np.arange(start, start + size) % len(queries)  # the last chunk wraps around
    parts.append(_ranks(queries[rows], keys, rows.astype(np.int32)))
  return np.concatenate([np.asarray(p) for p in parts])[: len(queries)]


def retrieval_metrics(rank: Int[np.ndarray, " N"], *, k: tuple[int, ...]) -> dict[str, float]:
  """Recall at each k of at most N, and the mean reciprocal rank."""
  recall = {f"recall@{n}": float(np.mean(rank < n)) for n in k if n <= len(rank)}
  return recall | {"mrr": float(np.mean(1 / (rank + 1.0)))}


@jax.jit
def _ranks(
  queries: Float[Array, "B D"], keys: Float[Array, "S D"], rows: Int[Array, " B"]
) -> Int[Array, " B"]:
  # Reduced precision, the default on accelerators, would reorder close neighbours.
  return ranks(jnp.matmul(queries, keys.T, precision="highest"), rows)

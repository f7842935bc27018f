"""How close two views of an example are, and how evenly examples cover the sphere."""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pretrainjax.evaluators.base import (
  Evaluation,
  Examples,
  Outcome,
)
from pretrainjax.evaluators.pairs import pair_features
from pretrainjax.ranges import LARGEST, PositiveFloat, Range, Seed

# Rows whose distances to all others are held at once.
_ROWS = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alignment(Evaluation):
  """Alignment and uniformity of features of length 1; the lower, the better, of both.

  Metrics: "alignment" is the mean squared distance of an example's two views, 0 to 4;
  "uniformity" is the logarithm of the mean of exp(-t * squared distance) over all pairs of
  different examples, at most 0, which is one point; -t * 2 is about the least in many dimensions.

  Attributes:
    data: examples of two views. It is read whole to draw the sample from.
    num_examples: examples of the sample, at least 2.
    t: sharpness of uniformity; 2 in the paper.
    seed: the seed of the sample.

  Reference: arXiv 2005.10242, section 4. Uniformity is that of view 0.
  """

  name: str = "alignment"
  data: Examples
  num_examples: Annotated[int, Range(2, LARGEST)] = 4096
  t: PositiveFloat = 2.0
  seed: Seed = 0

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    pairs = pair_features(subject, self.data, max_examples=self.num_examples, seed=self.seed)
    if len(pairs.first) < 2:
      raise ValueError(f"data: found {len(pairs.first)} examples, expected at least 2")
    distance = np.sum(np.square(pairs.first - pairs.second), axis=1)
    return Outcome(
      {"alignment": float(distance.mean()), "uniformity": uniformity(pairs.first, t=self.t)}
    )

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"views": 2, "probe": "none: label-free"}


def uniformity(points: Float[np.ndarray, "N D"], *, t: float = 2.0) -> float:
  """The logarithm of the mean of exp(-t * squared distance) over all pairs of different rows.

  Args:
    points: vectors of length 1, two at least.
    t: factor of the squared distances, above 0.
  """
  everyone, total = jnp.asarray(points), 0.0
  for start in range(0, len(points), _ROWS):
    rows = np.arange(start, start + _ROWS, dtype=np.int32)
    total += float(_kernel_sum(everyone, rows, jnp.float32(t)))
  return float(np.log(total / (len(points) * (len(points) - 1))))


@jax.jit
def _kernel_sum(
  points: Float[Array, "N D"], rows: Int[Array, " B"], t: Float[Array, ""]
) -> Float[Array, ""]:
  """The sum over some rows, those that are there, and all other ones."""
  similarity = jnp.matmul(points[rows % len(points)], points.T, precision="highest")
  others = rows[:, None] != jnp.arange(len(points))[None]
  counts = others & (rows[:, None] < len(points))
  return jnp.sum(jnp.where(counts, jnp.exp(-t * (2 - 2 * similarity)), 0.0))

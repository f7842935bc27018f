"""Collapse of an encoder: whether its features still tell examples apart, without labels."""

import dataclasses
import logging
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from pretrainjax.evaluators.base import Evaluation, Examples, Outcome
from pretrainjax.evaluators.features import extract_features
from pretrainjax.objectives.feature_spread import feature_std, rank_me
from pretrainjax.ranges import LARGEST, NonNegativeFloat, Range, Seed

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collapse(Evaluation):
  """Spread and rank of the features of a fixed random sample.

  Metrics: "feature_std" (1 is an even spread over the sphere, 0 one point), "rank_me" (1 to
  min(sample, embed_dim)) and "rank_me_share" (of that maximum). A low one is logged as a warning
  with what it usually means.

  Attributes:
    data: examples, labelled or not. It is read whole to draw the sample from, so name
      a small split.
    num_examples: examples of the sample, at least 2; more than embed_dim, or it limits the rank.
    min_std: "feature_std" below which there is a warning.
    min_rank_share: "rank_me_share" below which there is a warning.
    seed: the seed of the sample.

  Reference: SimSiam, arXiv 2011.10566, section 4.1; RankMe, arXiv 2210.02885.
  """

  name: str = "collapse"
  data: Examples
  num_examples: Annotated[int, Range(2, LARGEST)] = 1024
  min_std: NonNegativeFloat = 0.05
  min_rank_share: NonNegativeFloat = 0.02
  seed: Seed = 0

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    features = extract_features(
      subject, self.data, max_examples=self.num_examples, seed=self.seed
    ).features
    std, rank = (float(x) for x in _measure(jnp.asarray(features)))
    share = rank / min(features.shape)
    if warning := self.warning(std=std, rank=rank, share=share):
      _log.warning("%s: %s", self.name, warning)
    return Outcome({"feature_std": std, "rank_me": rank, "rank_me_share": share})

  def warning(self, *, std: float, rank: float, share: float) -> str | None:
    """The warning for low values: what they usually mean, what to try; None for healthy ones.

    Args:
      std: the "feature_std" that was measured.
      rank: the "rank_me" that was measured.
      share: the "rank_me_share" that was measured.
    """
    if std < self.min_std:
      return (
        f"feature std {std:.3f} is below {self.min_std:g}: almost the same feature for every "
        "example (complete collapse, or one large shared offset). Usually the learning rate is too "
        "high, warmup too short, the teacher's momentum or centring wrong, or they are all alike; "
        "look at the loss, then lower the learning rate or raise the temperature"
      )
    if share < self.min_rank_share:
      return (
        f"RankMe {rank:.1f} is {share:.1%} of its maximum: features use few dimensions "
        "(dimensional collapse). Usually too little or too strong augmentation, a batch too small "
        "for its negatives, or a learning rate too high; stronger crops or more negatives help"
      )
    return None

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"probe": "none: label-free"}


@jax.jit
def _measure(features: jax.Array) -> tuple[jax.Array, jax.Array]:
  return feature_std(features), rank_me(features)

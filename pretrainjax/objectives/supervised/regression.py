"""Regression: one score an example, by fine-tuning or on a fixed encoder."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.errors import UserError
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.supervised.tuning import Tune, check_text, encode, trains
from pretrainjax.ranges import Range
from pretrainjax.types import Batch, Encoded, Metrics

_Score = Annotated[float | int, Range()]


class Scorer(Towers):
  """An encoder and a head of one output.

  Attributes:
    low: the score that the output 0 stands for.
    high: the score that the output 1 stands for.
  """

  low: float
  high: float

  def scores(self, features: Float[Array, "B D"], **kwargs) -> Float[Array, " B"]:
    """Scores of pooled features; keyword arguments are the head's."""
    return self.low + (self.high - self.low) * self.head(features, **kwargs)[:, 0]


@dataclasses.dataclass(frozen=True)
class Regression(Objective):
  """Regression of "score" by mean squared error, from a backbone's pooled feature.

      loss = mean over examples of (head(encoder(x).pooled) - (score - low) / (high - low))^2

  Args:
    backbone: makes the encoder, of images or texts.
    head: makes the network from pooled features to one output, such as a `Head` of
      `num_classes` 1.
    score_range: (low, high): the head's output is 0 at low and 1 at high, and the loss is that of
      these outputs, so that learning rates fit whatever scale scores have. Nothing is clipped.
    tune: "full" trains all; "linear" trains the head alone, see `tuning.encode`.

  >>> import functools
  >>> from pretrainjax.models.heads import Head
  >>> from pretrainjax.models.mlp import MLP
  >>> objective = Regression(
  ...   backbone=functools.partial(MLP, image_size=4, embed_dim=8),
  ...   head=functools.partial(Head, in_dim=8, num_classes=1),
  ...   score_range=(0.0, 5.0),
  ... )
  >>> module = objective.init(rngs=nnx.Rngs(0))
  >>> batch = {"image": jnp.ones((2, 4, 4, 1)), "score": jnp.array([0.0, 5.0])}
  >>> loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(1), step=0)
  >>> print(loss, metrics["absolute_error"])  # a new head gives the lowest score
  0.5 2.5
  """

  backbone: Callable
  head: Callable
  score_range: tuple[_Score, _Score] = (0.0, 1.0)
  tune: Tune = "full"

  follows: ClassVar[Follows] = {
    "score_range": takes("prepared.score_range"),
    "head.in_dim": equals("objective.backbone.embed_dim"),
  }

  def __post_init__(self):
    if not self.score_range[0] < self.score_range[1]:
      raise ValueError(f"score_range: found {self.score_range}, expected (low, high), low < high")

  def init(self, *, rngs: nnx.Rngs) -> Scorer:
    encoder, head = self.backbone(rngs=rngs), self.head(rngs=rngs)
    expect("objective.head.in_dim", head.in_dim, encoder.embed_dim)
    expect("objective.head.num_classes", head.num_classes, 1)
    module = Scorer(encoder=encoder, head=head)
    module.low, module.high = map(float, self.score_range)
    return module

  def check(self, data: Any) -> None:
    if not all(source.has("score") for source in getattr(data, "sources", ())):
      raise UserError("config.data: found no scores, expected a dataset with a feature 'score'")
    check_text(self.backbone, data)

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, " B"]]:
    return {"scores": module.scores(encoded.pooled, deterministic=True)}

  def is_trained(self, path: tuple[str, ...]) -> bool:
    return trains(path, tune=self.tune)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    pooled = encode(module.encoder, module.encoder.inputs(batch), tune=self.tune, rngs=rngs).pooled
    scores = module.scores(pooled, deterministic=False, rngs=rngs)
    error = scores - batch["score"].astype(jnp.float32)
    loss = jnp.mean(jnp.square(error / (module.high - module.low)))
    metrics = {"absolute_error": jnp.mean(jnp.abs(error)), "feature_std": feature_std(pooled)}
    return loss, {"loss": loss, **metrics}

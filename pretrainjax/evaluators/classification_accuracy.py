"""Accuracy of a fine-tuned classifier."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.evaluators.accuracy import classification_outcome
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome, check_parts
from pretrainjax.evaluators.features import forward, labels_of
from pretrainjax.ranges import PositiveInt, Seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationAccuracy(Evaluation):
  """Accuracy, likelihood and calibration of an encoder with a trained head.

  It takes the objective's module: `module.head(module.encoder(inputs).pooled)` are the logits.

  Attributes:
    data: the labelled examples to classify.
    max_examples: take a random subset of so many; None takes all.
    seed: the seed of the subset.
  """

  name: str = "accuracy"
  data: Examples
  max_examples: PositiveInt | None = None
  seed: Seed = 0
  needs_module: ClassVar[bool] = True
  arrays: ClassVar[Mapping[str, str]] = {"data": "label"}

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    check_parts(subject, "encoder", "head", expected="a classifier")

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation` and `classification_outcome`."""
    self.check(subject)
    apply = functools.partial(_logits, *nnx.split((subject.encoder, subject.head)))
    logits, labels = result = forward(
      apply,
      self.data,
      inputs=subject.encoder.inputs,
      max_examples=self.max_examples,
      seed=self.seed,
      what="logits",
    )
    labels = labels_of(result, num_classes=logits.shape[1], split="data")
    return classification_outcome(logits, labels, tuple(self.data.class_names))

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"probe": "none: the trained head", "features": "logits"}


@functools.partial(jax.jit, static_argnums=0)
def _logits(graphdef: nnx.GraphDef, state: Any, inputs: Any) -> Float[Array, "B K"]:
  encoder, head = nnx.merge(graphdef, state)
  return head(encoder(inputs).pooled).astype(jnp.float32)

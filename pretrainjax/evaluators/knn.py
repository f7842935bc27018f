"""Weighted k-nearest-neighbour classification on frozen features."""

import dataclasses
import functools
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.evaluators.absent_classes import AbsentClasses, counted
from pretrainjax.evaluators.accuracy import confusion_matrix, ranks, top_metrics
from pretrainjax.evaluators.base import (
  Evaluation,
  Examples,
  Outcome,
)
from pretrainjax.evaluators.features import Features, extract_features, labels_of
from pretrainjax.ranges import PositiveFloat, PositiveInt, Seed

# Similarities held at once: 2**26 float32 are 256 MiB.
_MAX_SIMILARITIES = 2**26
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KNN(Evaluation):
  """Top-1 and top-5 accuracy of weighted nearest neighbours, for each k and temperature.

  Each of the k nearest training examples by cosine similarity s votes for its class with weight
  exp(s / temperature). The numbers are called "top1_k20_t0.07". A k above the number of
  training examples is left out, with a warning.

  Attributes:
    train: the bank of labelled examples.
    test: the examples to classify.
    k: numbers of neighbours, each at least 1.
    temperature: the temperature of the votes, each above 0.
    max_train: take a random subset of so many bank examples; None takes all.
    max_test: the same limit for the test examples.
    absent_classes: whether test examples of a class that `train` has no example of count as errors,
      or are "left_out"; their share is "of_absent_classes".
    seed: the seed of the subsets.

  Reference: DINO, arXiv 2104.14294, section 4.1 and its eval_knn; Wu et al., arXiv 1805.01978.
  Ours prints every combination, not the best one.
  """

  name: str = "knn"
  train: Examples
  test: Examples
  k: tuple[PositiveInt, ...] = (20, 200)
  temperature: tuple[PositiveFloat | PositiveInt, ...] = (0.07, 0.1)
  max_train: PositiveInt | None = None
  max_test: PositiveInt | None = None
  absent_classes: AbsentClasses = "wrong"
  seed: Seed = 0
  arrays: ClassVar[Mapping[str, str]] = {"train": "label", "test": "label"}

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    self._possible(min(self.train.num_examples, self.max_train or self.train.num_examples))

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`; the confusion matrix is that of the first k and temperature."""
    train = extract_features(subject, self.train, max_examples=self.max_train, seed=self.seed)
    test = extract_features(subject, self.test, max_examples=self.max_test, seed=self.seed)
    num_classes = self.train.num_classes
    bank = Features(train.features, labels_of(train, num_classes=num_classes, split="train"))
    test = Features(test.features, labels_of(test, num_classes=num_classes, split="test"))
    how = {"num_classes": num_classes, "absent_classes": self.absent_classes, "name": self.name}
    test, metrics = counted(test, bank.labels, **how)
    votes = classify(
      bank,
      test,
      k=self._possible(len(train.features)),
      temperature=self.temperature,
      num_classes=num_classes,
    )
    for (k, temperature), (rank, _) in votes.items():
      for top, value in top_metrics(rank, num_classes=num_classes).items():
        metrics[f"{top}_k{k}_t{temperature:g}"] = value
    _, predictions = next(iter(votes.values()))
    confusion = confusion_matrix(test.labels, predictions, num_classes=num_classes)
    return Outcome(metrics, confusion, tuple(self.train.class_names))

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"probe": "weighted kNN, cosine, exp(similarity / temperature)"}

  def _possible(self, num_train: int) -> tuple[int, ...]:
    possible = tuple(k for k in self.k if k <= num_train)
    if not possible:
      raise ValueError(f"k={self.k}: expected one of at most {num_train}, the training examples")
    if possible != self.k:
      left_out = sorted(set(self.k) - set(possible))
      _log.warning("%s: k %s left out: only %d training examples", self.name, left_out, num_train)
    return possible


def classify(
  bank: Features,
  queries: Features,
  *,
  k: tuple[int, ...],
  temperature: tuple[float, ...],
  num_classes: int,
) -> dict[tuple[int, float], tuple[np.ndarray, np.ndarray]]:
  """Classifies queries by the votes of their neighbours in the bank.

  Args:
    bank: labelled features, at least max(k) of them.
    queries: labelled features that are classified.
    k: the numbers of neighbours to classify by, each at least 1.
    temperature: the temperatures of the votes, each above 0.
    num_classes: number of classes, K; of those that the bank lacks none is predicted.

  Returns:
    By (k, temperature): the true class's rank "N" (see `ranks`) and the predicted class "N".
  """
  keys = jnp.asarray(_directions(bank.features))
  key_labels = jnp.asarray(bank.labels)
  known = jnp.asarray(np.isin(np.arange(num_classes), bank.labels))
  directions = _directions(queries.features)
  size = max(1, min(_MAX_SIMILARITIES // len(keys), 1024, len(directions)))
  parts: dict[tuple[int, float], list] = {(n, t): [] for n in k for t in temperature}
  for start in range(0, len(directions), size):
    rows = np.arange(start, start + size) % len(directions)  # the last chunk wraps around
    labels = jnp.asarray(queries.labels[rows])
    neighbours = _nearest(directions[rows], keys, key_labels, k=max(k))
    for (n, t), part in parts.items():
      part.append(_vote(*neighbours, labels, known, jnp.float32(t), k=n))
  total = len(directions)
  return {
    combination: tuple(np.concatenate([np.asarray(p[i]) for p in part])[:total] for i in (0, 1))
    for combination, part in parts.items()
  }


def _directions(features: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
  norm = np.linalg.norm(features, axis=1, keepdims=True)
  return features / np.maximum(norm, 1e-12)


@functools.partial(jax.jit, static_argnames="k")
def _nearest(
  queries: Float[Array, "B D"], keys: Float[Array, "S D"], labels: Int[Array, " S"], *, k: int
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
  """Similarities and labels of the k nearest keys, nearest first."""
  # Reduced precision, the default on accelerators, would reorder close neighbours.
  similarity = jnp.matmul(queries, keys.T, precision="highest")
  similarity, index = jax.lax.top_k(similarity, k)
  return similarity, labels[index]


@functools.partial(jax.jit, static_argnames="k")
def _vote(
  similarity: Float[Array, "B S"],
  neighbours: Int[Array, "B S"],
  labels: Int[Array, " B"],
  known: Bool[Array, " K"],
  temperature: Float[Array, ""],
  *,
  k: int,
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
  """The true class's rank and the predicted class, from sorted neighbours."""
  # Relative to the nearest, so that a small temperature does not overflow.
  weights = jnp.exp((similarity[:, :k] - similarity[:, :1]) / temperature)
  rows = jnp.arange(len(weights))[:, None]
  votes = jnp.zeros((len(weights), len(known))).at[rows, neighbours[:, :k]].add(weights)
  votes = jnp.where(known[None], votes, -jnp.inf)
  return ranks(votes, labels), jnp.argmax(votes, axis=1)

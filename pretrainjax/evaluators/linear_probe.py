"""A linear classifier on the features of a frozen encoder, fitted offline."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.evaluators.absent_classes import AbsentClasses, counted
from pretrainjax.evaluators.accuracy import classification_outcome
from pretrainjax.evaluators.base import (
  Evaluation,
  Examples,
  Outcome,
)
from pretrainjax.evaluators.features import Features, extract_features, labels_of
from pretrainjax.evaluators.logistic import (
  Linear,
  apply_linear,
  fit_lars,
  fit_lbfgs,
  lars_growth,
  standardise,
  zeros,
)
from pretrainjax.process.bar import progress_bar
from pretrainjax.ranges import (
  NonNegativeFloat,
  NonNegativeInt,
  OpenFraction,
  PositiveFloat,
  PositiveInt,
  Seed,
)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearProbe(Evaluation):
  """Accuracy of multinomial logistic regression on features standardised over `train`.

  Attributes:
    train: labelled examples to fit on.
    test: the examples to classify; nothing is chosen by them.
    solver: "lbfgs" fits all examples to convergence, with `l2` chosen on a held-out part of
      `train` and then fitted again on all of it; "lars" is MAE's recipe, see `fit_lars`.
    l2: strengths of the penalty to choose from (lbfgs), each at least 0; one is taken as it is.
    fixed_l2: the strength (lbfgs) where no class has two examples, so that none can be held out.
    held_out: share of `train`, of each class alike that has two examples or more, on which `l2` is
      chosen, in (0, 1).
    max_iterations: the most iterations of each fit (lbfgs).
    epochs: (lars) 90 in MAE.
    batch_size: (lars) 16384 in MAE; fewer examples make one batch.
    learning_rate: (lars) at a batch of 256, scaled with the batch; 0.1 in MAE.
    max_train: take a random subset of so many training examples; None takes all.
    max_test: the same limit for the test examples.
    absent_classes: whether test examples of a class that `train` has no example of count as errors,
      or are "left_out"; their share is "of_absent_classes". No other class is fitted or predicted.
    seed: the seed of subsets, the held-out part, and lars.
    least_deviation: what is added to the deviation of each feature, see `standardise`.

  Reference: MAE, arXiv 2111.06377, appendix A.1, for "lars"; CLIP, arXiv 2103.00020, appendix
    A.3, for "lbfgs", where ours standardises the features and penalises the mean loss.
  """

  name: str = "linear_probe"
  train: Examples
  test: Examples
  solver: Literal["lbfgs", "lars"] = "lbfgs"
  l2: tuple[NonNegativeFloat | NonNegativeInt, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
  fixed_l2: NonNegativeFloat | NonNegativeInt = 1e-2
  held_out: OpenFraction = 0.1
  max_iterations: PositiveInt = 300
  epochs: PositiveInt = 90
  batch_size: PositiveInt = 16384
  learning_rate: PositiveFloat = 0.1
  max_train: PositiveInt | None = None
  max_test: PositiveInt | None = None
  absent_classes: AbsentClasses = "wrong"
  seed: Seed = 0
  least_deviation: ClassVar[float] = 0.0
  arrays: ClassVar[Mapping[str, str]] = {"train": "label", "test": "label"}

  def __post_init__(self):
    super().__post_init__()
    if self.solver not in ("lbfgs", "lars"):
      raise ValueError(f"solver={self.solver!r}: expected 'lbfgs' or 'lars'")

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`; for lbfgs the chosen "l2" and "train_iterations" are among the metrics."""
    train, test = self._features(subject)
    num_classes = self.train.num_classes
    labels = labels_of(train, num_classes=num_classes, split="train")
    test = Features(test.features, labels_of(test, num_classes=num_classes, split="test"))
    how = {"num_classes": num_classes, "absent_classes": self.absent_classes, "name": self.name}
    test, absent = counted(test, labels, **how)
    x, test_x = standardise(train.features, test.features, least=self.least_deviation)
    known, places = np.unique(labels, return_inverse=True)
    linear, extra = self._fit(x, places.astype(np.int32), len(known))
    logits = np.full((len(test_x), num_classes), -np.inf, np.float32)
    logits[:, known] = apply_linear(linear, jnp.asarray(test_x))
    result = classification_outcome(logits, test.labels, tuple(self.train.class_names))
    return result._replace(metrics=result.metrics | absent | extra)

  def _features(self, subject: Any) -> tuple[Features, Features]:
    """What is classified: of the training and the test examples."""
    options = {"seed": self.seed}
    train = extract_features(subject, self.train, max_examples=self.max_train, **options)
    return train, extract_features(subject, self.test, max_examples=self.max_test, **options)

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`; fields that the solver does not use are left out."""
    unused = {
      "lbfgs": ("epochs", "batch_size", "learning_rate"),
      "lars": ("l2", "fixed_l2", "held_out", "max_iterations"),
    }[self.solver]
    fields = {k: v for k, v in super().protocol().items() if k not in unused}
    return fields | {"probe": f"offline linear, {self.solver}, standardised, no augmentation"}

  def _fit(
    self, x: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"], num_classes: int
  ) -> tuple[Linear, dict[str, float]]:
    if self.solver == "lbfgs":
      return self._fit_lbfgs(x, labels, num_classes)
    return self._fit_lars(x, labels, num_classes), {}

  def _fit_lars(
    self, x: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"], num_classes: int
  ) -> Linear:
    batch_size = min(self.batch_size, len(x))
    recipe = {
      "epochs": self.epochs,
      "batch_size": batch_size,
      "learning_rate": self.learning_rate * batch_size / 256,
    }
    if lars_growth(num_examples=len(x), **recipe) < 3:
      _log.warning(
        "%s: too few steps for LARS on %d examples: set solver='lbfgs', a smaller batch_size, "
        "or a higher learning_rate",
        self.name,
        len(x),
      )
    key = jax.random.key(self.seed)
    return fit_lars(jnp.asarray(x), jnp.asarray(labels), key, num_classes=num_classes, **recipe)

  def _fit_lbfgs(
    self, x: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"], num_classes: int
  ) -> tuple[Linear, dict[str, float]]:
    data = jnp.asarray(x), jnp.asarray(labels)
    everything = jnp.ones(len(x))
    start, l2 = zeros(data[0], num_classes), max(self.l2)
    if len(self.l2) > 1:
      held = held_out_rows(labels, share=self.held_out, seed=self.seed)
      start, l2 = self._choose(*data, held, start) if held.any() else (start, self.fixed_l2)
    fit = fit_lbfgs(start, *data, everything, jnp.float32(l2), max_iterations=self.max_iterations)
    iterations = int(fit.iterations)
    if iterations == self.max_iterations:
      _log.warning(
        "%s: not converged in %d iterations (gradient %.1e)",
        self.name,
        iterations,
        float(fit.grad_norm),
      )
    return fit.linear, {"l2": float(l2), "train_iterations": float(iterations)}

  def _choose(
    self,
    x: Float[Array, "N D"],
    labels: Int[Array, " N"],
    held: Bool[np.ndarray, " N"],
    start: Linear,
  ) -> tuple[Linear, float]:
    """The best penalty on the held-out rows, strongest first, each fit starting at the last."""
    weights = jnp.asarray(~held, jnp.float32)
    best, best_hits = (start, max(self.l2)), -1
    linear = start
    with progress_bar(len(self.l2), what="linear probe", unit=" fits") as bar:
      for l2 in sorted(self.l2, reverse=True):
        linear = fit_lbfgs(
          linear, x, labels, weights, jnp.float32(l2), max_iterations=self.max_iterations
        ).linear
        predictions = np.asarray(jnp.argmax(apply_linear(linear, x), axis=1))
        hits = int((predictions == np.asarray(labels))[held].sum())
        if hits > best_hits:  # of equals the stronger penalty stays
          best, best_hits = (linear, l2), hits
        bar.update()
    return best


def held_out_rows(
  labels: Int[np.ndarray, " N"], *, share: float, seed: int
) -> Bool[np.ndarray, " N"]:
  """Marks a random share of the rows, of each class alike and at least one row in all.

  A class always keeps a row. So one that has a single row gives none, and where all have, no row is
  marked.

  Args:
    labels: the class of each row.
    share: the share of the rows, in (0, 1).
    seed: the seed of the choice.

  Raises:
    ValueError: where fewer than two rows leave nothing to hold out.
  """
  if len(labels) < 2:
    raise ValueError(f"held_out: found {len(labels)} training examples, expected at least 2")
  rng = np.random.default_rng(seed)
  by_class = np.lexsort((rng.random(len(labels)), labels))
  names, counts = np.unique(labels, return_counts=True)
  by_class = by_class[np.isin(labels[by_class], names[counts > 1])]
  # Every n-th row of the rows sorted by class, from a random one on.
  every = 1 / min(share, 0.5)
  picks = np.arange(rng.random() * min(every, len(by_class)), len(by_class), every).astype(int)
  held = np.zeros(len(labels), bool)
  held[by_class[picks]] = True
  return held

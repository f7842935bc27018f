"""Numbers of a classifier from its scores and the true labels."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pretrainjax.evaluators.base import Outcome


def ranks(scores: Float[Array, "N K"], labels: Int[Array, " N"]) -> Int[Array, " N"]:
  """The number of classes placed before the true one; 0 is a hit at top-1.

  Args:
    scores: higher is likelier, any scale; of equal scores the lower class comes first. A class of
      -inf cannot be predicted: K are placed before it.
    labels: the true classes, in [0, K).

  >>> print(ranks(jnp.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]]), jnp.array([2, 1])))
  [1 1]
  """
  true = jnp.take_along_axis(scores, labels[:, None], axis=1)  # N 1
  before = jnp.arange(scores.shape[1])[None] < labels[:, None]
  rank = jnp.sum((scores > true) | ((scores == true) & before), axis=1)
  return jnp.where(jnp.isneginf(true[:, 0]), scores.shape[1], rank)


def top_metrics(rank: Int[np.ndarray, " N"], *, num_classes: int) -> dict[str, float]:
  """Top-1 and top-5 accuracy; with 5 classes or fewer top-5 says nothing and is left out."""
  metrics = {"top1": float(np.mean(rank < 1))}
  if num_classes > 5:
    metrics["top5"] = float(np.mean(rank < 5))
  return metrics


def confusion_matrix(
  labels: Int[np.ndarray, " N"], predictions: Int[np.ndarray, " N"], *, num_classes: int
) -> Int[np.ndarray, "K K"]:
  """Counts of examples, true class by row and predicted class by column.

  Args:
    labels: the true classes, in [0, K).
    predictions: the predicted classes, in [0, K).
    num_classes: the number of classes, K.
  """
  cells = labels.astype(np.int64) * num_classes + predictions
  return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class_accuracy(confusion: Int[np.ndarray, "K K"]) -> Float[np.ndarray, " K"]:
  """Share of each class's examples that were found; NaN for a class without examples."""
  count = confusion.sum(axis=1)
  share = np.divide(np.diag(confusion), count, out=np.full(len(count), np.nan), where=count > 0)
  return share


def _f1_scores(confusion: Int[np.ndarray, "K K"]) -> Float[np.ndarray, " K"]:
  """Each class's F1; NaN for a class that is neither there nor predicted."""
  found = 2 * np.diag(confusion).astype(np.float64)
  count = confusion.sum(axis=0) + confusion.sum(axis=1)
  return np.divide(found, count, out=np.full(len(count), np.nan), where=count > 0)


def _matthews_correlation(confusion: Int[np.ndarray, "K K"]) -> float:
  """The correlation of labels and predictions, in [-1, 1]; 0 where one of the two is constant.

  Reference: Gorodkin 2004, "Comparing two K-category assignments" (not on arXiv).
  """
  counts = confusion.astype(np.float64)
  true, guessed, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
  together = total * np.trace(counts) - true @ guessed
  size = np.sqrt((total**2 - guessed @ guessed) * (total**2 - true @ true))
  return float(together / size) if size > 0 else 0.0


def calibration_error(
  probabilities: Float[np.ndarray, "N K"], labels: Int[np.ndarray, " N"], *, num_bins: int = 15
) -> float:
  """Expected calibration error: how far confidence is from accuracy, in [0, 1].

  Args:
    probabilities: rows that sum to 1.
    labels: the true classes, in [0, K).
    num_bins: bins of equal width over the confidence of the prediction.

  Reference: Guo et al., arXiv 1706.04599, equation 3.
  """
  confidence = probabilities.max(axis=1)
  correct = probabilities.argmax(axis=1) == labels
  bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
  gaps = np.bincount(bins, weights=confidence - correct, minlength=num_bins)
  return float(np.abs(gaps).sum() / len(labels))


def classification_outcome(
  logits: Float[np.ndarray, "N K"], labels: Int[np.ndarray, " N"], class_names: tuple[str, ...]
) -> Outcome:
  """All numbers that describe a classifier, from its logits.

  Args:
    logits: unnormalised log probabilities, one row an example; -inf for a class that cannot be
      predicted.
    labels: true classes, in [0, K).
    class_names: the name of each class, or () for none.

  Returns:
    Metrics "top1" (which micro-averaged F1 equals), "top5" (above 5 classes), "mean_per_class"
    (over classes with examples), "f1" of class 1 (of two classes), "macro_f1" (over classes that
    are there or predicted), "mcc" (Matthews correlation), "nll" in nats (of examples whose class
    can be predicted) and "calibration_error"; and the confusion matrix.
  """
  num_classes, rows = logits.shape[1], np.arange(len(labels))
  rank = np.asarray(ranks(jnp.asarray(logits), jnp.asarray(labels)))
  log_probs = np.asarray(jax.nn.log_softmax(jnp.asarray(logits, jnp.float32)))
  confusion = confusion_matrix(labels, logits.argmax(axis=1), num_classes=num_classes)
  f1 = _f1_scores(confusion)
  true = log_probs[rows, labels][~np.isneginf(logits[rows, labels])]
  metrics = top_metrics(rank, num_classes=num_classes) | {
    "mean_per_class": float(np.nanmean(per_class_accuracy(confusion))),
    **({"f1": float(np.nan_to_num(f1[1]))} if num_classes == 2 else {}),
    "macro_f1": float(np.nanmean(f1)),
    "mcc": _matthews_correlation(confusion),
    "nll": float(-np.mean(true)) if len(true) else math.nan,
    "calibration_error": calibration_error(np.exp(log_probs), labels),
  }
  return Outcome(metrics, confusion, tuple(class_names))

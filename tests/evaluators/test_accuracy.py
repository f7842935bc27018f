import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as peer_confusion
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef

from pretrainjax.evaluators.accuracy import (
  calibration_error,
  classification_outcome,
  confusion_matrix,
  per_class_accuracy,
  ranks,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(200, 8)).astype(np.float32)
LABELS = RNG.integers(0, 8, 200).astype(np.int32)


def test_ranks_equal_a_stable_sort_with_ties():
  scores = RNG.integers(0, 4, (300, 6)).astype(np.float32)
  labels = RNG.integers(0, 6, 300).astype(np.int32)
  order = np.argsort(-scores, axis=1, kind="stable")
  expected = (order == labels[:, None]).argmax(1)
  np.testing.assert_array_equal(ranks(jnp.asarray(scores), jnp.asarray(labels)), expected)


def test_a_class_that_cannot_be_predicted_is_behind_all():
  logits = np.array([[0.0, -np.inf, 1.0], [0.5, -np.inf, -np.inf]], np.float32)
  assert ranks(jnp.asarray(logits), jnp.array([1, 2])).tolist() == [3, 3]
  outcome = classification_outcome(logits, np.array([1, 0]), ())
  assert outcome.metrics["top1"] == 0.5 and outcome.metrics["nll"] == 0.0
  assert np.isnan(classification_outcome(logits, np.array([1, 2]), ()).metrics["nll"])


def test_numbers_equal_scikit_learn():
  outcome = classification_outcome(LOGITS, LABELS, ())
  probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
  assert outcome.metrics["nll"] == pytest.approx(
    log_loss(LABELS, probabilities, labels=range(8)), rel=1e-5
  )
  np.testing.assert_array_equal(
    outcome.confusion, peer_confusion(LABELS, LOGITS.argmax(1), labels=range(8))
  )
  top5 = (np.argsort(-LOGITS, 1)[:, :5] == LABELS[:, None]).any(1).mean()
  assert outcome.metrics["top5"] == pytest.approx(top5)
  assert outcome.metrics["top1"] == pytest.approx((LOGITS.argmax(1) == LABELS).mean())


@pytest.mark.parametrize("num_classes", [2, 5, 8])
def test_f1_and_correlation_equal_scikit_learn(num_classes):
  logits = RNG.normal(size=(60, num_classes)).astype(np.float32)
  labels = RNG.integers(0, max(2, num_classes - 2), 60).astype(np.int32)  # some classes are absent
  logits[np.arange(60), labels] += 0.7
  predictions = logits.argmax(1)
  metrics = classification_outcome(logits, labels, ()).metrics
  assert metrics["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))
  assert metrics["top1"] == pytest.approx(f1_score(labels, predictions, average="micro"))
  assert metrics["mcc"] == pytest.approx(matthews_corrcoef(labels, predictions))
  assert ("f1" in metrics) == (num_classes == 2)
  if num_classes == 2:
    assert metrics["f1"] == pytest.approx(f1_score(labels, predictions))


def test_one_class_alone_has_no_correlation():
  metrics = classification_outcome(
    np.eye(2, dtype=np.float32)[[0, 0]], np.array([0, 0]), ()
  ).metrics
  assert metrics["mcc"] == 0 and metrics["f1"] == 0 and metrics["macro_f1"] == 1


def test_a_class_without_examples_is_nan_and_left_out_of_the_mean():
  confusion = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 2]), num_classes=3)
  shares = per_class_accuracy(confusion)
  np.testing.assert_array_equal(shares, [0.5, np.nan, 1.0])
  outcome = classification_outcome(np.eye(3, dtype=np.float32), np.array([0, 0, 2]), ())
  assert outcome.metrics["mean_per_class"] == pytest.approx(0.75)


def test_calibration_error_of_known_cases():
  labels = np.array([0, 0, 0, 1])
  honest = np.tile([[0.75, 0.25]], (4, 1))
  assert calibration_error(honest, labels) == pytest.approx(0.0)
  sure = np.tile([[1.0, 0.0]], (4, 1))
  assert calibration_error(sure, labels) == pytest.approx(0.25)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.losses.cross_entropy import accuracy, cross_entropy


@pytest.fixture
def scores():
  rng = np.random.default_rng(0)
  return rng.normal(size=(6, 5)).astype(np.float32) * 3, rng.integers(0, 5, 6).astype(np.int32)


def _reference(logits, target):
  shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
  log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
  return -(target * log_probabilities).sum(axis=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_the_reference_for_hard_and_soft_labels(scores, smoothing):
  logits, labels = scores
  target = np.eye(5)[labels]
  expected = _reference(logits, target * (1 - smoothing) + smoothing / 5)
  hard = cross_entropy(jnp.asarray(logits), jnp.asarray(labels), label_smoothing=smoothing)
  soft = cross_entropy(
    jnp.asarray(logits), jnp.asarray(target, jnp.float32), label_smoothing=smoothing
  )
  np.testing.assert_allclose(hard, expected, atol=1e-5)
  np.testing.assert_allclose(soft, expected, atol=1e-5)


def test_shifting_all_logits_changes_nothing(scores):
  logits, labels = map(jnp.asarray, scores)
  shifted = cross_entropy(logits + 50, labels)
  np.testing.assert_allclose(cross_entropy(logits, labels), shifted, atol=1e-4)


def test_gradients_stay_finite_at_extreme_logits():
  logits = jnp.asarray([[1e4, -1e4, 0.0]])
  labels = jnp.asarray([1])
  loss, gradient = jax.value_and_grad(lambda x: cross_entropy(x, labels).sum())(logits)
  np.testing.assert_allclose(loss, 2e4)
  np.testing.assert_allclose(gradient, [[1.0, -1.0, 0.0]], atol=1e-6)


def test_computes_in_float32_whatever_comes_in(scores):
  logits, labels = map(jnp.asarray, scores)
  assert cross_entropy(logits.astype(jnp.bfloat16), labels).dtype == jnp.float32


def test_accuracy_is_one_value_an_example(scores):
  logits, labels = map(jnp.asarray, scores)
  np.testing.assert_array_equal(accuracy(logits, labels), logits.argmax(1) == labels)

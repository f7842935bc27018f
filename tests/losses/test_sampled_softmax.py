"""Losses against drawn items: by NumPy, and against the full softmax that they estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.losses.sampled_softmax import calibrated_power, sampled_binary, sampled_softmax

RNG = np.random.default_rng(0)
POSITIVE, NEGATIVE = RNG.normal(0, 3, (2, 4)), RNG.normal(0, 3, (2, 4, 5))
HITS = RNG.random((2, 4, 5)) < 0.2


def call(loss, **options):
  floats = (jnp.asarray(x, jnp.float32) for x in (POSITIVE, NEGATIVE))
  return loss(*floats, is_positive=jnp.asarray(HITS), **options)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_softmax_equals_numpy_without_what_is_the_item_itself():
  log_q = RNG.normal(-2, 1, NEGATIVE.shape)
  corrected = NEGATIVE - log_q - np.log(5)
  given = {"log_q": jnp.asarray(log_q, jnp.float32)}
  for negative, options in ((NEGATIVE, {}), (corrected, given)):
    total = np.exp(POSITIVE) + np.where(HITS, 0, np.exp(negative)).sum(-1)
    expected = np.log(total) - POSITIVE
    np.testing.assert_allclose(call(sampled_softmax, **options), expected, atol=1e-4)


@pytest.mark.parametrize("power", [1.0, 0.3])
def test_binary_equals_numpy_with_the_positive_s_probability_raised(power):
  rejected = np.where(HITS, 0, np.log(1 - sigmoid(NEGATIVE))).sum(-1)
  expected = -np.log(sigmoid(POSITIVE) ** power) - rejected
  np.testing.assert_allclose(call(sampled_binary, power=power), expected, atol=1e-4)


def test_binary_is_finite_where_probabilities_are_not():
  scores = jnp.array([-1000.0, 1000.0])
  none = jnp.zeros((2, 1), bool)

  def total(scores):
    return sampled_binary(scores, scores[:, None], is_positive=none, power=0.3).sum()

  loss, slope = jax.value_and_grad(total)(scores)
  assert float(loss) == pytest.approx(1300.0)
  np.testing.assert_allclose(slope, [-0.3, 1.0], atol=1e-6)


def test_the_power_is_the_paper_s():
  for calibration in (0.0, 0.25, 0.75, 1.0):
    alpha = 256 / 3415
    expected = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    found = calibrated_power(num_negatives=256, num_items=3416, calibration=calibration)
    assert found == pytest.approx(expected)
  assert calibrated_power(num_negatives=5, num_items=100, calibration=0.0) == pytest.approx(1)
  assert calibrated_power(num_negatives=5, num_items=101, calibration=1.0) == pytest.approx(0.05)


SCORES = np.random.default_rng(1).normal(0, 1.5, 12)
TARGET = int(SCORES.argmax())  # which has odds to lose


def softmax(x):
  return np.exp(x) / np.exp(x).sum()


@pytest.mark.parametrize("odds", [pytest.param("uniform", marks=pytest.mark.repeat), "skewed"])
def test_the_expected_gradient_nears_that_of_the_full_softmax(odds):
  """Of a catalogue of 12 and by log-Q, the more the more is drawn; without it, it does not."""
  scores = jnp.asarray(SCORES, jnp.float32)
  q = np.full(12, 1 / 12) if odds == "uniform" else softmax(np.linspace(-1, 1, 12))
  full = softmax(np.asarray(scores, np.float64)) - np.eye(12)[TARGET]

  def gradient(key, num_drawn: int, corrects: bool):
    drawn = jax.random.choice(key, 12, (num_drawn,), p=jnp.asarray(q, jnp.float32))
    log_q = jnp.log(jnp.asarray(q, jnp.float32))[drawn][None] if corrects else None

    def loss(scores):
      hits = (drawn == TARGET)[None]
      return sampled_softmax(
        scores[TARGET][None], scores[drawn][None], is_positive=hits, log_q=log_q
      )[0]

    return jax.grad(loss)(scores)

  def error(num_drawn: int, corrects: bool) -> float:
    keys = jax.random.split(jax.random.key(1), 4000)
    found = jax.lax.map(lambda k: gradient(k, num_drawn, corrects), keys, batch_size=500)
    return float(np.abs(np.mean(found, axis=0) - full).max())

  few, many, wrong = error(4, True), error(1000, True), error(1000, False)
  assert many < 0.01 < few < 0.2
  assert wrong > 0.05

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pretrainjax.evaluators.logistic import (
  apply_linear,
  cross_entropy,
  fit_lars,
  fit_lbfgs,
  standardise,
  zeros,
)


def problem(count=400, size=10, num_classes=5, seed=0):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(count, size)).astype(np.float32)
  scores = x @ rng.normal(size=(size, num_classes)) + rng.gumbel(size=(count, num_classes))
  return jnp.asarray(x), jnp.asarray(scores.argmax(1).astype(np.int32))


def fit(x, labels, *, l2, weights=None, num_classes=5):
  weights = jnp.ones(len(x)) if weights is None else weights
  return fit_lbfgs(zeros(x, num_classes), x, labels, weights, jnp.float32(l2))


@pytest.mark.parametrize("l2", [1e-1, 1e-2, 1e-3])
def test_lbfgs_equals_scikit_learn_at_the_same_penalty(l2):
  x, labels = problem()
  ours = fit(x, labels, l2=l2)
  peer = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-8, max_iter=2000)
  peer.fit(np.asarray(x, np.float64), labels)
  np.testing.assert_allclose(ours.linear.kernel.T, peer.coef_, atol=1e-3)
  np.testing.assert_allclose(
    ours.linear.bias - ours.linear.bias.mean(), peer.intercept_ - peer.intercept_.mean(), atol=1e-3
  )
  predictions = jnp.argmax(apply_linear(ours.linear, x), axis=1)
  assert np.mean(np.asarray(predictions) == peer.predict(np.asarray(x))) > 0.995
  assert ours.iterations < 300 and ours.grad_norm < 1e-3


def test_what_is_all_but_constant_is_not_blown_up():
  train = np.array([[0.0, 5.0], [1e-3, -5.0]])
  x, other = standardise(train, train + 1.0, least=0.5)
  scale = np.sqrt(np.array([0.5e-3, 5.0]) ** 2 + 0.25)
  np.testing.assert_allclose(x, (train - [0.5e-3, 0.0]) / scale, rtol=1e-5)
  np.testing.assert_allclose(other - x, np.tile(1 / scale, (2, 1)), rtol=1e-5)


def test_weight_zero_leaves_an_example_out():
  x, labels = problem()
  weights = jnp.ones(400).at[250:].set(0.0)
  masked = fit(x, labels, l2=1e-2, weights=weights).linear
  peer = LogisticRegression(C=1 / (1e-2 * 250), tol=1e-8, max_iter=2000)
  peer.fit(np.asarray(x[:250], np.float64), labels[:250])
  np.testing.assert_allclose(masked.kernel.T, peer.coef_, atol=1e-3)


def test_another_penalty_or_subset_does_not_compile_again():
  x, labels = problem()
  fit(x, labels, l2=1e-2)
  before = fit_lbfgs._cache_size()
  fit(x, labels, l2=1e-3, weights=jnp.ones(400).at[0].set(0.0))
  assert fit_lbfgs._cache_size() == before


def test_separable_data_without_penalty_stays_finite():
  x = jnp.zeros((400, 10)).at[:, 0].set(1.0).at[200:, 0].set(-1.0)
  result = fit(x, (x[:, 0] < 0).astype(jnp.int32), l2=0.0)
  assert bool(jnp.isfinite(result.linear.kernel).all())


def test_lars_learns_and_is_fixed_by_its_key():
  x, labels = problem(count=1000)
  options = dict(num_classes=5, epochs=60, batch_size=128, learning_rate=10.0)
  linear = fit_lars(x, labels, jax.random.key(0), **options)
  again = fit_lars(x, labels, jax.random.key(0), **options)
  np.testing.assert_array_equal(linear.kernel, again.kernel)
  accuracy = float((jnp.argmax(apply_linear(linear, x), 1) == labels).mean())
  best = float((jnp.argmax(apply_linear(fit(x, labels, l2=1e-4).linear, x), 1) == labels).mean())
  assert accuracy > best - 0.03


def test_standardise_uses_the_first_and_zeroes_constants():
  rng = np.random.default_rng(0)
  train = rng.normal(3, 5, (200, 4)).astype(np.float32)
  train[:, 2] = 0.3
  test = rng.normal(3, 5, (50, 4)).astype(np.float32)
  a, b = standardise(train, test)
  np.testing.assert_allclose(a[:, [0, 1, 3]].mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(a[:, [0, 1, 3]].std(0), 1, atol=1e-5)
  assert (a[:, 2] == 0).all() and (b[:, 2] == 0).all()
  expected = (test[:, 0] - train[:, 0].mean()) / train[:, 0].std()
  np.testing.assert_allclose(b[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_cross_entropy_is_log_k_for_equal_logits():
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    value = cross_entropy(jnp.zeros((3, 7)), jnp.arange(3))
  np.testing.assert_allclose(value, np.log(7), rtol=1e-6)


def test_correlated_features_do_not_slow_it_down():
  x, labels = problem()
  spectrum = np.geomspace(1, 1e-3, 10)
  mixed = np.asarray(x) @ (spectrum[:, None] * np.random.default_rng(1).normal(size=(10, 10)))
  (mixed,) = standardise(mixed.astype(np.float32))
  ours = fit(jnp.asarray(mixed), labels, l2=1e-5)
  assert ours.iterations < 100
  peer = LogisticRegression(C=1 / (1e-5 * 400), tol=1e-6, max_iter=1000, solver="newton-cg")
  peer.fit(mixed.astype(np.float64), labels)
  values = []
  for kernel, bias in (ours.linear, (peer.coef_.T, peer.intercept_)):
    logits = mixed @ np.asarray(kernel) + np.asarray(bias)
    loss = cross_entropy(jnp.asarray(logits, jnp.float32), labels).mean()
    values.append(float(loss) + 0.5e-5 * float(np.square(kernel).sum()))
  assert values[0] < values[1] + 1e-4

"""Multinomial logistic regression on fixed features: L-BFGS over all examples, or LARS."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key


class Linear(NamedTuple):
  """A linear classifier: features @ kernel + bias.

  Attributes:
    kernel: the weights, "D K".
    bias: one number a class, "K".
  """

  kernel: Float[Array, "D K"]
  bias: Float[Array, " K"]


class Fit(NamedTuple):
  """The result of `fit_lbfgs`.

  Attributes:
    linear: the fitted linear classifier.
    iterations: the number of iterations that were taken.
    grad_norm: the largest entry of the last preconditioned gradient, in absolute value.
  """

  linear: Linear
  iterations: Int[Array, ""]
  grad_norm: Float[Array, ""]


def standardise(
  train: Float[np.ndarray, "N D"], *others: Float[np.ndarray, "M D"], least: float = 0.0
) -> tuple[np.ndarray, ...]:
  """Shifts and scales each dimension to mean 0 and standard deviation 1 over `train`.

      (x - mean) / sqrt(variance + least^2)

  A dimension that is constant over `train` becomes 0 there.

  Args:
    train: what mean and variance are of.
    others: what is shifted and scaled alike.
    least: in the features' unit: what changes by less over `train` is not blown up in `others`.
  """
  mean = train.mean(axis=0, dtype=np.float64)
  std = np.sqrt(np.mean(np.square(train - mean), axis=0) + least**2)
  # Rounding leaves a constant dimension with a tiny deviation, which must not be blown up.
  std = np.where(std > 1e-6 * np.abs(mean), std, np.inf)
  return tuple(((x - mean) / std).astype(np.float32) for x in (train, *others))


def apply_linear(linear: Linear, features: Float[Array, "N D"]) -> Float[Array, "N K"]:
  """The logits, in full float32 precision on any device."""
  return jnp.matmul(features, linear.kernel, precision="highest") + linear.bias[None]


def zeros(features: Float[Array, "N D"], num_classes: int) -> Linear:
  """A linear classifier whose parameters are all 0."""
  return Linear(jnp.zeros((features.shape[1], num_classes)), jnp.zeros(num_classes))


@functools.partial(jax.jit, static_argnames="max_iterations")
def fit_lbfgs(
  start: Linear,
  features: Float[Array, "N D"],
  labels: Int[Array, " N"],
  weights: Float[Array, " N"],
  l2: Float[Array, ""],
  *,
  max_iterations: int = 300,
  tolerance: float = 1e-5,
) -> Fit:
  """Minimises mean cross-entropy + l2 / 2 * ||kernel||^2; the bias is free.

  scikit-learn's LogisticRegression is the same with C = 1 / (l2 * N).

  Args:
    start: the classifier that the fit starts from.
    features: standardised features, one row an example.
    labels: class numbers in [0, K).
    weights: the weights of the examples; 0 leaves one out without another compilation.
    l2: strength of the penalty, at least 0.
    max_iterations: the most iterations of L-BFGS, with memory 10 and a zoom line search.
    tolerance: stop when no entry of the preconditioned gradient is larger.
  """

  basis = _preconditioner(features, l2, num_classes=start.bias.shape[0])
  features = jnp.matmul(features, basis, precision="highest")

  def objective(linear: Linear) -> Float[Array, ""]:
    losses = cross_entropy(apply_linear(linear, features), labels)
    kernel = jnp.matmul(basis, linear.kernel, precision="highest")
    penalty = 0.5 * l2 * jnp.sum(jnp.square(kernel))
    return jnp.sum(weights * losses) / jnp.sum(weights) + penalty

  solver = optax.lbfgs(memory_size=10)
  value_and_grad = optax.value_and_grad_from_state(objective)

  def step(carry: _Search) -> _Search:
    value, grad = value_and_grad(carry.linear, state=carry.state)
    updates, state = solver.update(
      grad, carry.state, carry.linear, value=value, grad=grad, value_fn=objective
    )
    # Near the minimum a value falls by less than float32 can tell, at times only for one step.
    stalled = carry.value - value <= 1e-7 * jnp.abs(value)
    return _Search(
      linear=optax.apply_updates(carry.linear, updates),
      state=state,
      value=value,
      grad_norm=_max_abs(grad),
      iterations=carry.iterations + 1,
      stalls=jnp.where(stalled, carry.stalls + 1, 0),
    )

  def proceed(carry: _Search) -> Bool[Array, ""]:
    busy = (carry.grad_norm > tolerance) & (carry.stalls < 3)
    return busy & (carry.iterations < max_iterations)

  start = start._replace(kernel=jnp.linalg.solve(basis, start.kernel))
  infinite, none = jnp.float32(jnp.inf), jnp.int32(0)
  search = jax.lax.while_loop(
    proceed, step, _Search(start, solver.init(start), infinite, infinite, none, none)
  )
  kernel = jnp.matmul(basis, search.linear.kernel, precision="highest")
  return Fit(search.linear._replace(kernel=kernel), search.iterations, search.grad_norm)


class _Search(NamedTuple):
  """Where L-BFGS stands; value and gradient are those of the iteration before."""

  linear: Linear
  state: Any
  value: Float[Array, ""]
  grad_norm: Float[Array, ""]
  iterations: Int[Array, ""]
  stalls: Int[Array, ""]


def _preconditioner(
  features: Float[Array, "N D"], l2: Float[Array, ""], *, num_classes: int
) -> Float[Array, "D D"]:
  """A basis in which the curvature is about the same in all directions.

  Features of encoders are so correlated that plain L-BFGS takes thousands of iterations. The
  minimum is the same in any basis. The Hessian of a classifier that knows nothing is
  covariance / K + l2, whose inverse factor this is.
  """
  size = features.shape[1]
  covariance = jnp.matmul(features.T, features, precision="highest") / len(features)
  # What float32 cannot tell from zero must not become a direction of its own.
  floor = 1e-6 * jnp.trace(covariance) + 1e-6
  hessian = (covariance + floor * jnp.eye(size)) / num_classes + l2 * jnp.eye(size)
  factor = jnp.linalg.cholesky(hessian)
  return jax.scipy.linalg.solve_triangular(factor, jnp.eye(size), lower=True).T


@functools.partial(
  jax.jit, static_argnames=("num_classes", "epochs", "batch_size", "learning_rate")
)
def fit_lars(
  features: Float[Array, "N D"],
  labels: Int[Array, " N"],
  key: Key[Array, ""],
  *,
  num_classes: int,
  epochs: int,
  batch_size: int,
  learning_rate: float,
) -> Linear:
  """Trains the classifier by LARS, momentum 0.9, no weight decay, warmup and cosine decay.

  Args:
    features: standardised, which stands for MAE's BatchNorm without affine: its statistics, of
      features that do not change, only differ by the sampling of batches.
    labels: class numbers in [0, K).
    key: the key of the initial kernel and of the order of examples.
    num_classes: number of classes, K.
    epochs: passes over all examples; a tenth of the steps warm up (MAE: 10 epochs of 90).
    batch_size: examples of a step, at most N; what is left over of an epoch is dropped, another
      part in each.
    learning_rate: the learning rate at its peak, above 0.

  Reference: MAE, arXiv 2111.06377, table 10. Ours has no augmentation: features are fixed.
  """
  num_steps = len(features) // batch_size
  total = num_steps * epochs
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, learning_rate, warmup_steps=math.ceil(0.1 * total), decay_steps=total
  )
  solver = optax.lars(schedule, momentum=0.9, trust_ratio_mask=Linear(True, False))
  init_key, order_key = jax.random.split(key)
  shape = (features.shape[1], num_classes)
  kernel = 0.01 * jax.random.truncated_normal(init_key, -2.0, 2.0, shape)
  linear = Linear(kernel, jnp.zeros(num_classes))

  def loss(linear: Linear, rows: Int[Array, " B"]) -> Float[Array, ""]:
    return jnp.mean(cross_entropy(apply_linear(linear, features[rows]), labels[rows]))

  def step(carry: tuple, rows: Int[Array, " B"]) -> tuple:
    linear, state = carry
    updates, state = solver.update(jax.grad(loss)(linear, rows), state, linear)
    return (optax.apply_updates(linear, updates), state), None

  def epoch(carry: tuple, i: Int[Array, ""]) -> tuple:
    order = jax.random.permutation(jax.random.fold_in(order_key, i), len(features))
    return jax.lax.scan(step, carry, order[: num_steps * batch_size].reshape(num_steps, -1))

  (linear, _), _ = jax.lax.scan(epoch, (linear, solver.init(linear)), jnp.arange(epochs))
  return linear


def lars_growth(*, num_examples: int, epochs: int, batch_size: int, learning_rate: float) -> float:
  """The logarithm of how much `fit_lars` can enlarge its small initial kernel; below 3 is little.

  A LARS step moves the kernel by learning_rate * trust coefficient (0.001) of its own norm, ten
  times that with momentum, and half of it on average over the schedule.

  Args:
    num_examples: the number of training examples.
    epochs: the passes over all of them.
    batch_size: the examples of a step.
    learning_rate: the learning rate at its peak.
  """
  num_steps = epochs * (num_examples // batch_size)
  return 0.001 * 10 * 0.5 * learning_rate * num_steps


def cross_entropy(logits: Float[Array, "N K"], labels: Int[Array, " N"]) -> Float[Array, " N"]:
  """Cross-entropy in nats, one value an example."""
  # A comparison fuses into the sum; a gather's gradient is a scatter, slow on CPU.
  is_label = labels[:, None] == jnp.arange(logits.shape[1])[None]
  return jax.nn.logsumexp(logits, axis=1) - jnp.sum(jnp.where(is_label, logits, 0.0), axis=1)


def _max_abs(tree: Linear) -> Float[Array, ""]:
  return jnp.max(jnp.stack([jnp.max(jnp.abs(x)) for x in tree]))

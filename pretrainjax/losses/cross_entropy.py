"""Cross-entropy against class labels, and how often the label wins."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(
  logits: Float[Array, "B K"],
  labels: Int[Array, " B"] | Float[Array, "B K"],
  *,
  label_smoothing: float = 0.0,
) -> Float[Array, " B"]:
  """Softmax cross-entropy of class labels, computed in float32.

      loss = -sum_k q_k log softmax(logits)_k,   q = (1 - s) * label + s / K

  Args:
    logits: unnormalised scores, any float dtype.
    labels: class numbers, or a distribution over classes (mixup).
    label_smoothing: weight s of the uniform distribution over all K classes, in [0, 1).

  Returns:
    One value an example, in nats.

  Reference: label smoothing is that of Inception-v3, arXiv 1512.00567, section 7.

  >>> print(cross_entropy(jnp.zeros((1, 10)), jnp.array([3])))  # log(10)
  [2.3025851]
  >>> print(cross_entropy(jnp.zeros((1, 2)), jnp.array([[0.3, 0.7]])))  # log(2)
  [0.6931472]
  """
  logits = logits.astype(jnp.float32)
  log_probabilities = jax.nn.log_softmax(logits)
  if jnp.issubdtype(labels.dtype, jnp.integer):
    chosen = jnp.take_along_axis(log_probabilities, labels[:, None], axis=1)[:, 0]
  else:
    chosen = jnp.sum(labels.astype(jnp.float32) * log_probabilities, axis=1)
  if label_smoothing == 0:  # spares work, and 0 * -inf where a logit is -inf
    return -chosen
  # Smoothing is linear: no smoothed one-hot "B K" needs to exist.
  uniform = jnp.mean(log_probabilities, axis=1)
  return -(1 - label_smoothing) * chosen - label_smoothing * uniform


def accuracy(logits: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
  """1 where the highest score is the label's, else 0 (a tie counts for the lowest class).

  >>> accuracy(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])).tolist()
  [1.0, 0.0]
  """
  return (jnp.argmax(logits, axis=1) == labels).astype(jnp.float32)

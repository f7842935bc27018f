"""Losses of a student against a teacher: of features, and of logits at a temperature."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pretrainjax.models.layers.norm import l2_normalize


def cosine_distance(
  features: Float[Array, "B D"], targets: Float[Array, "B D"]
) -> Float[Array, " B"]:
  """How far features point away from their targets, in [0, 2], in float32.

      loss = 1 - features . targets / (|features| |targets|)

  Args:
    features: the student's features, any float dtype.
    targets: the teacher's, of the same width.

  >>> cosine_distance(jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0]] * 2)).tolist()
  [0.0, 1.0]
  """
  return 1 - jnp.sum(l2_normalize(features) * l2_normalize(targets), axis=-1)


def feature_mse(features: Float[Array, "B D"], targets: Float[Array, "B D"]) -> Float[Array, " B"]:
  """The mean squared difference of features and targets, in float32.

      loss = mean_d (features_d - targets_d)^2

  Args:
    features: the student's features, any float dtype.
    targets: the teacher's, of the same width.

  >>> feature_mse(jnp.array([[1.0, 3.0]]), jnp.array([[1.0, 1.0]])).tolist()
  [2.0]
  """
  return jnp.mean(jnp.square(features.astype(jnp.float32) - targets.astype(jnp.float32)), axis=-1)


def soft_label_divergence(
  logits: Float[Array, "B K"], targets: Float[Array, "B K"], *, temperature: float
) -> Float[Array, " B"]:
  """The divergence of a student's classes from its teacher's, both softened, in float32.

      loss = T^2 KL(softmax(targets / T) || softmax(logits / T))

  T^2 keeps the gradient's size: it falls with 1 / T^2 as the temperature rises.

  Args:
    logits: the student's scores, any float dtype.
    targets: the teacher's scores of the same classes.
    temperature: T, above 0; more makes small scores count more.

  Returns:
    One value an example, in nats times T^2; 0 where the two agree.

  Reference: arXiv 1503.02531, section 2, whose cross-entropy differs by the teacher's entropy.

  >>> soft_label_divergence(jnp.zeros((1, 3)), jnp.zeros((1, 3)), temperature=2.0).tolist()
  [0.0]
  """
  student = jax.nn.log_softmax(logits.astype(jnp.float32) / temperature)
  teacher = jax.nn.log_softmax(targets.astype(jnp.float32) / temperature)
  return temperature**2 * jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)

"""Losses of an item that came next against a few that were drawn: no user sees all items.

A file's letters: K drawn items.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def sampled_softmax(
  positive: Float[Array, "*M"],
  negative: Float[Array, "*M K"],
  *,
  is_positive: Bool[Array, "*M K"],
  log_q: Float[Array, "*M K"] | None = None,
) -> Float[Array, "*M"]:
  """Cross-entropy of an item among itself and those that were drawn, in float32.

      loss = log(exp(s) + sum_k exp(s_k - log(K q_k))) - s

  With the correction, log(K q), the sum estimates that over all other items; its gradient becomes
  the one of the full softmax as K grows. Without, drawn items count as they are.

  Args:
    positive: the scores of the items that came next.
    negative: the scores of drawn items.
    is_positive: True for draws that are the item itself, which do not count.
    log_q: the logarithm of the odds by which each was drawn, among all that may count; None
      corrects nothing.

  Returns:
    One value an event, in nats.

  Reference: Bengio and Senecal 2008 (10.1109/TNN.2007.912312); as in TensorFlow's
  `sampled_softmax_loss`, which corrects the positive's score too.

  >>> none = jnp.zeros((1, 3), bool)
  >>> print(sampled_softmax(jnp.zeros(1), jnp.zeros((1, 3)), is_positive=none))  # log(4)
  [1.3862944]
  >>> uniform = jnp.full((1, 3), -jnp.log(99.0))  # of 99 others
  >>> scores = {"positive": jnp.zeros(1), "negative": jnp.zeros((1, 3)), "is_positive": none}
  >>> print(sampled_softmax(**scores, log_q=uniform).round(4))  # log(100)
  [4.6052]
  """
  positive, negative = positive.astype(jnp.float32), negative.astype(jnp.float32)
  if log_q is not None:
    negative = negative - log_q - jnp.log(float(negative.shape[-1]))
  negative = jnp.where(is_positive, -jnp.inf, negative)
  logits = jnp.concatenate([positive[..., None], negative], axis=-1)
  return jax.nn.logsumexp(logits, axis=-1) - positive


def sampled_binary(
  positive: Float[Array, "*M"],
  negative: Float[Array, "*M K"],
  *,
  is_positive: Bool[Array, "*M K"],
  power: float = 1.0,
) -> Float[Array, "*M"]:
  """Binary cross-entropy of an item that came next and of those that were drawn, in float32.

      loss = -power * log sigmoid(s) - sum_k log(1 - sigmoid(s_k))

  Args:
    positive: the scores of the items that came next.
    negative: the scores of drawn items.
    is_positive: True for draws that are the item itself, which do not count.
    power: what the positive's probability is raised to, see `calibrated_power`.

  Returns:
    One value an event, in nats.

  Reference: SASRec, arXiv 1808.09781, equation 7; gSASRec, 2308.07192, equation 12.

  >>> none = jnp.zeros((1, 2), bool)
  >>> print(sampled_binary(jnp.zeros(1), jnp.zeros((1, 2)), is_positive=none))  # 3 log(2)
  [2.0794415]
  """
  positive, negative = positive.astype(jnp.float32), negative.astype(jnp.float32)
  # log sigmoid(s)^power without the power, which would leave float32 where s is low.
  rejected = jnp.where(is_positive, 0.0, jax.nn.softplus(negative))
  return power * jax.nn.softplus(-positive) + jnp.sum(rejected, axis=-1)


def calibrated_power(*, num_negatives: int, num_items: int, calibration: float) -> float:
  """The power beta that undoes the overconfidence of few negatives, in part or wholly.

      alpha = K / (I - 1);  beta = alpha (t (1 - 1 / alpha) + 1 / alpha)

  Args:
    num_negatives: drawn items of an event, K.
    num_items: items of the catalogue, I.
    calibration: t: 0 is plain binary cross-entropy, 1 gives probabilities of the full softmax.

  Reference: gSASRec, arXiv 2308.07192, equation 15.

  >>> round(calibrated_power(num_negatives=256, num_items=3417, calibration=0.75), 4)
  0.3062
  >>> calibrated_power(num_negatives=1, num_items=11, calibration=0.0)
  1.0
  """
  alpha = num_negatives / max(num_items - 1, 1)
  return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)

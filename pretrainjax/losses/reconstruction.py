"""Reconstruction losses: how far predicted pixels are from the true ones."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def normalize_patches(
  patches: Float[Array, "B N P"],
  *,
  real: Bool[Array, "B N P"] | None = None,
  eps: float = 1e-6,
) -> Float[Array, "B N P"]:
  """Gives each patch mean 0 and variance 1 over its own P values, in float32.

      (x - mean(x)) / sqrt(var(x) + eps)

  Args:
    patches: the pixels of each patch, any float dtype.
    real: True for values that count, all others become 0; None counts all.
    eps: a small number added to the variance; a constant patch becomes 0.

  Reference: MAE, arXiv 2111.06377, section 4.1 "reconstruction target"; like its code, the
  variance is the unbiased one (divided by P - 1).

  >>> normalize_patches(jnp.array([[[0.0, 1.0, 2.0]]])).round(3).tolist()
  [[[-1.0, 0.0, 1.0]]]
  """
  patches = patches.astype(jnp.float32)
  if real is None:
    mean = jnp.mean(patches, axis=-1, keepdims=True)
    variance = jnp.var(patches, axis=-1, keepdims=True, ddof=1)
    return (patches - mean) / jnp.sqrt(variance + eps)
  count = jnp.sum(real, axis=-1, keepdims=True)
  mean = jnp.sum(jnp.where(real, patches, 0.0), axis=-1, keepdims=True) / jnp.maximum(count, 1)
  centred = jnp.where(real, patches - mean, 0.0)
  squares = jnp.sum(jnp.square(centred), axis=-1, keepdims=True)
  return centred / jnp.sqrt(squares / jnp.maximum(count - 1, 1) + eps)


def patch_mse(
  prediction: Float[Array, "B N P"],
  target: Float[Array, "B N P"],
  *,
  scored: Bool[Array, "B N"] | Bool[Array, "B N P"] | None = None,
) -> Float[Array, " B"]:
  """Mean squared error over the scored patches, in float32.

      loss_b = sum_np scored_bnp (prediction_bnp - target_bnp)^2 / sum_np scored_bnp

  Args:
    prediction: the decoder's output, any float dtype.
    target: the true pixels, any float dtype.
    scored: True for patches that count (in MAE the hidden ones), or for single pixels of them;
      None counts all. A row without any has loss 0.

  Returns:
    One value an example: the mean over its scored patches and their pixels.

  >>> prediction, target = jnp.zeros((1, 2, 3)), jnp.array([[[1.0] * 3, [2.0] * 3]])
  >>> patch_mse(prediction, target).tolist()
  [2.5]
  >>> patch_mse(prediction, target, scored=jnp.array([[False, True]])).tolist()
  [4.0]
  """
  error = jnp.square(prediction.astype(jnp.float32) - target.astype(jnp.float32))
  if scored is not None and scored.ndim == error.ndim:
    total = jnp.sum(jnp.where(scored, error, 0.0), axis=(1, 2))
    return total / jnp.maximum(jnp.sum(scored, axis=(1, 2)), 1)
  per_patch = jnp.mean(error, axis=-1)  # B N
  if scored is None:
    return jnp.mean(per_patch, axis=1)
  weight = scored.astype(jnp.float32)
  return jnp.sum(per_patch * weight, axis=1) / jnp.maximum(jnp.sum(weight, axis=1), 1.0)

"""Signs that an encoder gives every example the same features."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pretrainjax import collectives
from pretrainjax.models.layers.norm import l2_normalize


def feature_std(features: Float[Array, "B D"]) -> Float[Array, ""]:
  """Spread of the directions of features over the batch: about 1 is healthy, 0 is collapse.

      sqrt(D) * mean over d of std over b of (x_b / |x_b|)_d

  Args:
    features: one an example, any scale and float dtype; on pmap the rows of this device, while
      the result is that of the whole batch.

  Returns:
    The standard deviation over the batch of l2-normalised features, averaged over dimensions
    and multiplied by sqrt(D); 1 for features spread evenly over the sphere.

  Reference: SimSiam, arXiv 2011.10566, section 4.1, "output std".

  >>> even = jnp.concatenate([jnp.eye(4), -jnp.eye(4)])
  >>> print(feature_std(even), feature_std(jnp.ones((8, 4))))
  1.0 0.0
  """
  directions = l2_normalize(features)
  mean, mean_square = collectives.mean(
    (jnp.mean(directions, axis=0), jnp.mean(jnp.square(directions), axis=0))
  )
  std = jnp.sqrt(jnp.maximum(mean_square - jnp.square(mean), 0.0))
  return jnp.mean(std) * directions.shape[-1] ** 0.5


def rank_me(features: Float[Array, "B D"], *, eps: float = 1e-7) -> Float[Array, ""]:
  """The effective rank of features, how many dimensions they use: 1 (collapse) to min(B, D).

      exp(-sum_k p_k log p_k),   p = singular values / their sum

  Args:
    features: one an example, of the whole sample to judge; more rows than D, or the
      rows are the limit. Costs a singular value decomposition.
    eps: keeps the logarithm finite.

  Reference: RankMe, arXiv 2210.02885, equation 2.

  >>> print(rank_me(jnp.eye(4)).round(3), rank_me(jnp.ones((8, 4))).round(3))
  4.0 1.0
  """
  values = jnp.linalg.svd(features.astype(jnp.float32), compute_uv=False)
  share = values / jnp.maximum(jnp.sum(values), eps) + eps
  return jnp.exp(-jnp.sum(share * jnp.log(share)))

"""Layer, RMS and batch normalisation, with statistics in float32."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float

from pretrainjax import collectives
from pretrainjax.ranges import Finite, PositiveFloat, PositiveInt, Rate


class LayerNorm(nnx.Module):
  """Layer normalisation: each token gets mean 0 and variance 1 over its width, scale and shift.

  Args:
    embed_dim: width of the tokens, D.
    eps: added to the variance, always written out: 1e-6 in vision, 1e-12 in BERT.
    use_bias: False leaves the shift out.
    rngs: unused, as all values start fixed; taken for symmetry.

  Reference: arXiv 1607.06450.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    eps: PositiveFloat,
    use_bias: bool = True,
    rngs: nnx.Rngs | None = None,
  ):
    del rngs
    self.eps = eps
    self.scale = nnx.Param(jnp.ones((embed_dim,), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((embed_dim,), jnp.float32)) if use_bias else None

  def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Normalises the last axis; the result has the dtype of `x`."""
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axis=-1, keepdims=True)
    centred = wide - mean
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    last = (1,) * (x.ndim - 1) + (-1,)
    y = centred * lax.rsqrt(variance + self.eps) * self.scale[...].reshape(last)
    y = y if self.bias is None else y + self.bias[...].reshape(last)
    return y.astype(x.dtype)


class RMSNorm(nnx.Module):
  """Root mean square normalisation: divides each token by its RMS over the width, then scales.

  Args:
    embed_dim: width of the tokens, D.
    eps: added to the mean square: 1e-6 in T5, 1e-5 or 1e-6 in Llama.
    rngs: unused; taken for symmetry.

  Reference: arXiv 1910.07467.
  """

  def __init__(self, *, embed_dim: PositiveInt, eps: PositiveFloat, rngs: nnx.Rngs | None = None):
    del rngs
    self.eps = eps
    self.scale = nnx.Param(jnp.ones((embed_dim,), jnp.float32))

  def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Normalises the last axis; the result has the dtype of `x`."""
    wide = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    last = (1,) * (x.ndim - 1) + (-1,)
    y = wide * lax.rsqrt(mean_square + self.eps) * self.scale[...].reshape(last)
    return y.astype(x.dtype)


class BatchNorm(nnx.Module):
  """Batch normalisation of each channel over the whole batch, that of all devices.

  The statistics are global: under pmap through `collectives.mean`, under jit because arrays are
  global there. Running statistics move by (1 - momentum) a step; the running variance is the
  biased one (as in Flax and Keras; torch keeps the unbiased one).

  Args:
    num_features: channels, the last axis.
    momentum: weight of the old running statistics, in [0, 1).
    eps: added to the variance.
    scale: whether to learn a scale.
    bias: whether to learn a shift.
    scale_init: first value of the scale; 0 makes a residual branch start as the identity.
    rngs: unused; taken for symmetry.

  Reference: arXiv 1502.03167.
  """

  def __init__(
    self,
    *,
    num_features: PositiveInt,
    momentum: Rate = 0.9,
    eps: PositiveFloat = 1e-5,
    scale: bool = True,
    bias: bool = True,
    scale_init: Finite = 1.0,
    rngs: nnx.Rngs | None = None,
  ):
    del rngs
    if not 0 <= momentum < 1:
      raise ValueError(f"momentum={momentum}: expected in [0, 1)")
    self.momentum, self.eps = momentum, eps
    shape = (num_features,)
    self.scale = nnx.Param(jnp.full(shape, scale_init, jnp.float32)) if scale else None
    self.bias = nnx.Param(jnp.zeros(shape, jnp.float32)) if bias else None
    self.mean = nnx.BatchStat(jnp.zeros(shape, jnp.float32))
    self.var = nnx.BatchStat(jnp.ones(shape, jnp.float32))

  def __call__(
    self, x: Float[Array, "*B C"], *, deterministic: bool, valid: Bool[Array, "*B"] | None = None
  ) -> Float[Array, "*B C"]:
    """Normalises the last axis.

    Args:
      x: any leading axes.
      deterministic: True uses the running statistics; False the batch's, and moves the former.
      valid: True for what is counted in a batch's statistics; None counts all.
    """
    wide = x.astype(jnp.float32)
    running = (self.mean[...], self.var[...])
    mean, variance = running if deterministic else self._update(wide, valid)
    factor = lax.rsqrt(variance + self.eps)
    if self.scale is not None:
      factor = factor * self.scale[...]
    shift = -mean * factor
    if self.bias is not None:
      shift = shift + self.bias[...]
    last = (1,) * (x.ndim - 1) + (-1,)
    return (wide * factor.reshape(last) + shift.reshape(last)).astype(x.dtype)

  def _update(
    self, x: Float[Array, "*B C"], valid: Bool[Array, "*B"] | None
  ) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
    axes = tuple(range(x.ndim - 1))
    if valid is None:
      moments = (jnp.mean(x, axis=axes), jnp.mean(jnp.square(x), axis=axes))
      mean, mean_square = collectives.mean(moments)
    else:
      x = jnp.where(valid[..., None], x, 0.0)
      share = jnp.mean(valid.astype(jnp.float32))
      moments = (jnp.mean(x, axis=axes), jnp.mean(jnp.square(x), axis=axes), share)
      mean, mean_square, share = collectives.mean(moments)
      share = jnp.maximum(share, jnp.finfo(jnp.float32).tiny)
      mean, mean_square = mean / share, mean_square / share
    variance = jnp.maximum(mean_square - jnp.square(mean), 0.0)
    for running, new in ((self.mean, mean), (self.var, variance)):
      old = running[...]
      running[...] = self.momentum * old + (1 - self.momentum) * lax.stop_gradient(new)
    return mean, variance


def l2_normalize(x: Float[Array, "... D"], *, eps: float = 1e-12) -> Float[Array, "... D"]:
  """Scales the last axis to length 1, in float32.

      x / sqrt(max(|x|^2, eps))

  Args:
    x: vectors of any float dtype.
    eps: smallest squared length to divide by; keeps the gradient at 0 finite.

  >>> print(l2_normalize(jnp.array([0.0, 2.0])))
  [0. 1.]
  """
  x = x.astype(jnp.float32)
  return x * lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), eps))

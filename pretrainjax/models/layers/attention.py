"""Multi-head attention; `dot_product_attention` is the one place that picks a kernel."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

Kernel = Literal["einsum", "xla", "cudnn"]


def pick_kernel(*, backend: str, dtype: jnp.dtype | str, head_dim: int, masked: bool) -> Kernel:
  """Which implementation of attention is the fastest that works.

  Args:
    backend: of `jax.default_backend()`.
    dtype: of queries, keys and values.
    head_dim: width of one head.
    masked: whether some keys are hidden.
  """
  if backend == "cpu":
    # Measured 2.6 times faster there than jax.nn.dot_product_attention (docs/log.md).
    return "einsum"
  # cuDNN's flash attention takes 16-bit floats and heads of up to 128 in steps of 8. It turns a
  # mask into a bias, which for training must have even lengths, so masked goes to XLA.
  flash = jnp.dtype(dtype).itemsize == 2 and head_dim % 8 == 0 and head_dim <= 128
  return "cudnn" if backend == "gpu" and flash and not masked else "xla"


def dot_product_attention(
  query: Float[Array, "B N heads head_dim"],
  key: Float[Array, "B S heads head_dim"],
  value: Float[Array, "B S heads head_dim"],
  *,
  valid: Bool[Array, "B S"] | None = None,
  kernel: Kernel | None = None,
) -> Float[Array, "B N heads head_dim"]:
  """softmax(query key^T / sqrt(head_dim)) value, the softmax in float32.

  Args:
    query: one a token that asks.
    key: one a token that is asked.
    value: what a key stands for.
    valid: True for keys that are present; each row needs one. None means all are.
    kernel: None picks by backend, see `pick_kernel`.
  """
  kernel = kernel or pick_kernel(
    backend=jax.default_backend(),
    dtype=query.dtype,
    head_dim=query.shape[-1],
    masked=valid is not None,
  )
  mask = None if valid is None else valid[:, None, None, :]
  if kernel == "einsum":
    return _einsum_attention(query, key, value, mask)
  return jax.nn.dot_product_attention(query, key, value, mask=mask, implementation=kernel)


def _einsum_attention(query, key, value, mask):
  query = query * (1 / math.sqrt(query.shape[-1]))
  logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32)
  if mask is not None:
    logits = jnp.where(mask, logits, jnp.finfo(jnp.float32).min)
  weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
  return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


class Attention(nnx.Module):
  """Multi-head attention of tokens to themselves or to a context.

  Args:
    embed_dim: width in and out, D.
    num_heads: must divide embed_dim.
    dtype: of the computation; parameters are float32.
    rngs: keys for the initial values (Xavier uniform, bias 0).

  Reference: arXiv 1706.03762.
  """

  def __init__(self, *, embed_dim: int, num_heads: int, dtype: str = "float32", rngs: nnx.Rngs):
    if embed_dim % num_heads:
      raise ValueError(f"num_heads={num_heads}: expected a divisor of embed_dim={embed_dim}")
    self.num_heads = num_heads

    def linear() -> nnx.Linear:
      init = nnx.initializers.xavier_uniform()
      return nnx.Linear(embed_dim, embed_dim, dtype=dtype, kernel_init=init, rngs=rngs)

    self.query, self.key, self.value, self.out = linear(), linear(), linear(), linear()

  def __call__(
    self,
    x: Float[Array, "B N D"],
    *,
    context: Float[Array, "B S D"] | None = None,
    valid: Bool[Array, "B S"] | None = None,
  ) -> Float[Array, "B N D"]:
    """Attends.

    Args:
      x: tokens that ask.
      context: tokens that are asked; None takes `x`.
      valid: True for tokens of `context` that are present.
    """
    context = x if context is None else context
    query, key, value = self.query(x), self.key(context), self.value(context)
    y = dot_product_attention(*map(self._heads, (query, key, value)), valid=valid)
    return self.out(y.reshape(x.shape))  # B N heads head_dim -> B N D

  def _heads(self, x: Float[Array, "B N D"]) -> Float[Array, "B N heads head_dim"]:
    return x.reshape(*x.shape[:2], self.num_heads, -1)

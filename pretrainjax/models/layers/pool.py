"""From tokens to one feature an example."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from pretrainjax.models.layers.attention import Attention
from pretrainjax.models.layers.mlp import Activation, Mlp
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.scope import Scope
from pretrainjax.ranges import PositiveFloat, PositiveInt


def mean_pool(
  tokens: Float[Array, "B N D"], valid: Bool[Array, "B N"] | None = None
) -> Float[Array, "B D"]:
  """The mean over present tokens, summed in float32.

  Args:
    tokens: any float dtype, which the result has too.
    valid: True for tokens that take part; None means all. A row without any becomes 0.
  """
  wide = tokens.astype(jnp.float32)
  if valid is None:
    return jnp.mean(wide, axis=1).astype(tokens.dtype)
  weight = valid.astype(jnp.float32)
  total = jnp.einsum("bnd,bn->bd", wide, weight)
  count = jnp.maximum(jnp.sum(weight, axis=1, keepdims=True), 1.0)
  return (total / count).astype(tokens.dtype)


class AttentionPool(nnx.Module):
  """Pooling by one learned query that attends to all tokens, with a perceptron after it (MAP).

  Args:
    embed_dim: width of the tokens, D.
    num_heads: number of attention heads.
    mlp_dim: width inside the perceptron.
    activation: the activation of the perceptron.
    eps: the number added to variances in the layer norm.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values.

  Reference: the head of SigLIP, arXiv 2303.15343, from arXiv 2106.04560, section 3.3.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    activation: Activation = "gelu",
    eps: PositiveFloat = 1e-6,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    init = nnx.initializers.xavier_uniform()
    self.probe = nnx.Param(init(rngs.params(), (1, embed_dim), jnp.float32).reshape(-1))
    self.attention = Attention(embed_dim=embed_dim, num_heads=num_heads, dtype=dtype, rngs=rngs)
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)
    sizes = {"embed_dim": embed_dim, "mlp_dim": mlp_dim}
    self.mlp = Mlp(**sizes, activation=activation, dtype=dtype, rngs=rngs)

  def __call__(
    self, tokens: Float[Array, "B N D"], valid: Bool[Array, "B N"] | None = None
  ) -> Float[Array, "B D"]:
    """Pools the present tokens."""
    batch, _, width = tokens.shape
    probe = jnp.broadcast_to(self.probe[...].astype(tokens.dtype), (batch, 1, width))
    x = self.attention(probe, context=tokens, scope=Scope(valid=valid))  # B 1 D
    return jax.lax.squeeze(x + self.mlp(self.norm(x)), (1,))

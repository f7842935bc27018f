"""The two-layer perceptron of a transformer block."""

import functools

import jax
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.drop import dropout


class Mlp(nnx.Module):
  """Linear, exact GELU, linear.

  Args:
    embed_dim: width in and out, D.
    mlp_dim: width between.
    dropout: rate after each linear layer, in [0, 1).
    dtype: of the computation; parameters are float32.
    rngs: keys for the initial values (Xavier uniform, bias 0).
  """

  def __init__(
    self,
    *,
    embed_dim: int,
    mlp_dim: int,
    dropout: float = 0.0,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    kernel_init = nnx.initializers.xavier_uniform()
    self.dropout = dropout
    self.up = nnx.Linear(embed_dim, mlp_dim, dtype=dtype, kernel_init=kernel_init, rngs=rngs)
    self.down = nnx.Linear(mlp_dim, embed_dim, dtype=dtype, kernel_init=kernel_init, rngs=rngs)

  def __call__(
    self,
    x: Float[Array, "B N D"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B N D"]:
    """Transforms each token; dropout needs `rngs`."""
    drop = functools.partial(dropout, rate=self.dropout, deterministic=deterministic, rngs=rngs)
    hidden = drop(jax.nn.gelu(self.up(x), approximate=False))
    return drop(self.down(hidden))

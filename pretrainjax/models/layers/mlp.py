"""The two-layer perceptron of a transformer block."""

import functools
import math

from flax import nnx
from jax import lax
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
    return drop(self.down(drop(gelu(self.up(x)))))


def gelu(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
  """The exact Gaussian error linear unit, x Phi(x).

  By erf, as PyTorch has it. `jax.nn.gelu` goes by erfc, more exact far below zero where the
  result is next to nothing, and takes longer on a CPU (docs/log.md).

  Args:
    x: any shape; the result has its dtype.

  Reference: arXiv 1606.08415.
  """
  return 0.5 * x * (1 + lax.erf(x * math.sqrt(0.5)))

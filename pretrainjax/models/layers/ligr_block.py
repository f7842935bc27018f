"""The gated block of LiGR, which stays stable where plain blocks of recommenders do not."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.attention import Attention
from pretrainjax.models.layers.block import NormKind, make_norm
from pretrainjax.models.layers.drop import drop_path
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.mlp import Activation, Initializer, Mlp
from pretrainjax.models.layers.scope import Scope
from pretrainjax.ranges import PositiveFloat, PositiveInt, Rate


class LiGRBlock(nnx.Module):
  """Attention and a gated perceptron, each a residual branch behind a gate of the stream itself.

      x = x + sigmoid(gate1(x)) * attention(norm(x))
      x = x + sigmoid(gate2(x)) * swiglu(norm(x))

  The gates read the stream before the norm.

  Args:
    embed_dim: width of the tokens, D.
    num_heads: number of attention heads.
    mlp_dim: width inside the perceptron.
    eps: the number added to variances in the norms.
    norm: kind of the norms.
    activation: the activation of the perceptron, which is gated itself.
    use_bias: whether the perceptron's linear layers have a bias; those of attention and gates do.
    dropout: rate at the end of each branch, before the gate.
    inner_dropout: rate after the perceptron's activation; None takes `dropout`.
    attention_dropout: rate on attention's weights.
    kernel_init: initial values of weights.
    dtype: the dtype of the computation.
    rngs: keys for the initial values.

  Reference: eSASRec, arXiv 2508.06450, section 3.2, after LiGR, 2502.03417, section 3.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    eps: PositiveFloat = 1e-6,
    norm: NormKind = "layer",
    activation: Activation = "silu",
    use_bias: bool = False,
    dropout: Rate = 0.0,
    inner_dropout: Rate | None = None,
    attention_dropout: Rate = 0.0,
    kernel_init: Initializer = nnx.initializers.xavier_uniform(),
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    inner_dropout = dropout if inner_dropout is None else inner_dropout
    self.dropout = dropout
    self.is_random = max(dropout, inner_dropout, attention_dropout) > 0
    shared = {"embed_dim": embed_dim, "dtype": dtype, "kernel_init": kernel_init, "rngs": rngs}
    linear = {"dtype": dtype, "kernel_init": kernel_init, "rngs": rngs}
    self.norm1 = make_norm(norm, embed_dim=embed_dim, eps=eps)
    self.attention = Attention(num_heads=num_heads, dropout=attention_dropout, **shared)
    self.gate1 = nnx.Linear(embed_dim, embed_dim, **linear)
    self.norm2 = make_norm(norm, embed_dim=embed_dim, eps=eps)
    self.mlp = Mlp(
      mlp_dim=mlp_dim,
      activation=activation,
      gated=True,
      use_bias=use_bias,
      dropout=dropout,
      inner_dropout=inner_dropout,
      **shared,
    )
    self.gate2 = nnx.Linear(embed_dim, embed_dim, **linear)

  def __call__(
    self,
    x: Float[Array, "B N D"],
    *,
    scope: Scope = Scope(),
    context: Float[Array, "B S D"] | None = None,
    context_scope: Scope = Scope(),
    drop_path_rate: Float[Array, ""] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B N D"]:
    """Runs one layer; the arguments are those of `Block`, of which `context` must be None.

    Args:
      x: tokens.
      scope: what they see of each other.
      context: None, as there is no attention to a context.
      context_scope: unused, likewise.
      drop_path_rate: of this layer; None drops none.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call, needed by what is switched on.
    """
    del context_scope
    if context is not None:
      raise ValueError("context: found tokens, expected None, as these blocks attend to none")
    random = {"deterministic": deterministic, "rngs": rngs}
    y = self.attention(self.norm1(x), scope=scope, **random)
    y = jax.nn.sigmoid(self.gate1(x)) * drop_values(y, rate=self.dropout, **random)
    x = x + drop_path(y, rate=drop_path_rate, **random)
    y = jax.nn.sigmoid(self.gate2(x)) * self.mlp(self.norm2(x), **random)
    return x + drop_path(y, rate=drop_path_rate, **random)

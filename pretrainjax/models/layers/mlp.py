"""The two-layer perceptron of a transformer block, gated or not."""

import math
from collections.abc import Callable
from typing import Literal

import jax
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.lora import project
from pretrainjax.ranges import PositiveInt, Rate

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "tanh"]
Initializer = jax.nn.initializers.Initializer


class Mlp(nnx.Module):
  """A perceptron: linear, activation, linear; gated, a second one multiplies the activation.

  Args:
    embed_dim: width in and out, D.
    mlp_dim: width of the hidden layer.
    activation: "gelu" is the exact one, "gelu_tanh" its approximation (GPT-2, T5 1.1), "quick_gelu"
      a coarser one (CLIP).
    gated: down(activation(gate(x)) * up(x)): GeGLU, SwiGLU (arXiv 2002.05202).
    use_bias: whether the linear layers have a bias.
    dropout: rate after the last layer, in [0, 1).
    inner_dropout: rate after the activation, in [0, 1).
    kernel_init: initial values of weights; biases start at 0.
    out_init: initial values of the last layer's weights; None takes kernel_init.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    mlp_dim: PositiveInt,
    activation: Activation = "gelu",
    gated: bool = False,
    use_bias: bool = True,
    dropout: Rate = 0.0,
    inner_dropout: Rate = 0.0,
    kernel_init: Initializer = nnx.initializers.xavier_uniform(),
    out_init: Initializer | None = None,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    self.activation, self.dropout, self.inner_dropout = activation, dropout, inner_dropout

    def linear(rows: int, columns: int, init: Initializer) -> nnx.Linear:
      options = {"use_bias": use_bias, "dtype": dtype, "kernel_init": init, "rngs": rngs}
      return nnx.Linear(rows, columns, **options)

    self.gate = linear(embed_dim, mlp_dim, kernel_init) if gated else None
    self.up = linear(embed_dim, mlp_dim, kernel_init)
    self.down = linear(mlp_dim, embed_dim, out_init or kernel_init)

  def __call__(
    self,
    x: Float[Array, "B N D"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B N D"]:
    """Transforms each token; dropout needs `rngs`."""
    activate = activation(self.activation)
    random = {"deterministic": deterministic, "rngs": rngs}
    y = project(self.up, x, **random)
    y = activate(y) if self.gate is None else activate(project(self.gate, x, **random)) * y
    y = drop_values(y, rate=self.inner_dropout, **random)
    return drop_values(project(self.down, y, **random), rate=self.dropout, **random)


def activation(name: Activation) -> Callable[[Array], Array]:
  """The activation function of a name."""
  functions = {"gelu": gelu, "gelu_tanh": jax.nn.gelu, "quick_gelu": quick_gelu}
  return (functions | {"silu": jax.nn.silu, "relu": jax.nn.relu, "tanh": lax.tanh})[name]


def gelu(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
  """The exact Gaussian error linear unit, x Phi(x).

  By erf, as PyTorch has it. `jax.nn.gelu` goes by erfc, more exact far below zero where the
  result is next to nothing, and takes longer on a CPU (docs/log.md).

  Args:
    x: any shape; the result has its dtype.

  Reference: arXiv 1606.08415.
  """
  return 0.5 * x * (1 + lax.erf(x * math.sqrt(0.5)))


def quick_gelu(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
  """The sigmoid approximation of the Gaussian error linear unit, x sigmoid(1.702 x).

  Args:
    x: any shape; the result has its dtype.

  Reference: arXiv 1606.08415, section 2.
  """
  return x * jax.nn.sigmoid(1.702 * x)

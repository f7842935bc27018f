"""The block of a Conformer: attention and a convolution between two halves of a perceptron."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.attention import Attention
from pretrainjax.models.layers.drop import drop_path
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.frames import Frames, silenced
from pretrainjax.models.layers.mlp import Mlp
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.scope import Scope
from pretrainjax.ranges import PositiveFloat, PositiveInt, Rate


class ConvolutionModule(nnx.Module):
  """A gated linear layer, a convolution of each channel by itself, a norm, swish, a linear layer.

  Args:
    embed_dim: width of frames, D.
    size: frames of the kernel, odd.
    eps: the number added to variances in the norm.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values.

  Raises:
    ValueError: for an even size.

  Reference: arXiv 2005.08100, section 2.2. Ours differs in the norm, which is over the channels of
  a frame: a batch norm would let frames of other rows, and padding, count.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    size: PositiveInt,
    eps: PositiveFloat,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    if size % 2 == 0:
      raise ValueError(f"conv_size={size}: expected an odd number")
    self.dtype = dtype
    self.expand = nnx.Linear(embed_dim, 2 * embed_dim, dtype=dtype, rngs=rngs)
    init = nnx.initializers.normal(size**-0.5)
    self.kernel = nnx.Param(init(rngs.params(), (size, embed_dim)))
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)
    self.reduce = nnx.Linear(embed_dim, embed_dim, dtype=dtype, rngs=rngs)

  def __call__(self, frames: Frames) -> Float[Array, "B T D"]:
    """Transforms each frame with those around it; padding is zeros to them."""
    value, gate = jnp.split(self.expand(frames.features), 2, axis=-1)
    x = silenced(Frames(value * jax.nn.sigmoid(gate), frames.valid))
    kernel = self.kernel[...].astype(x.dtype)
    size, length = kernel.shape[0], x.shape[1]
    x = jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))
    # A sum of shifts, for XLA has no fast gradient of such a convolution on a CPU.
    y = sum(x[:, k : k + length] * kernel[k].reshape(1, 1, -1) for k in range(size))
    return self.reduce(jax.nn.silu(self.norm(y)))


class ConformerBlock(nnx.Module):
  """Half a perceptron, attention, a convolution, half a perceptron: residual branches; then a norm.

  Args:
    embed_dim: width of frames, D.
    num_heads: number of attention heads.
    mlp_dim: width inside the perceptrons.
    conv_size: frames of the convolution's kernel.
    eps: the number added to variances in the norms.
    dropout: rate at the end of each branch, in [0, 1).
    attention_dropout: rate on attention's weights.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values.

  Reference: arXiv 2005.08100, section 2.4.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    conv_size: PositiveInt,
    eps: PositiveFloat = 1e-5,
    dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    self.dropout, self.is_random = dropout, max(dropout, attention_dropout) > 0
    shared = {"embed_dim": embed_dim, "dtype": dtype, "rngs": rngs}
    perceptron = {"mlp_dim": mlp_dim, "activation": "silu", "inner_dropout": dropout}
    for name in ("norm1", "norm2", "norm3", "norm4", "norm"):
      setattr(self, name, LayerNorm(embed_dim=embed_dim, eps=eps))
    self.mlp1 = Mlp(**perceptron, **shared)
    self.attention = Attention(num_heads=num_heads, dropout=attention_dropout, **shared)
    self.convolution = ConvolutionModule(size=conv_size, eps=eps, **shared)
    self.mlp2 = Mlp(**perceptron, **shared)

  def __call__(
    self,
    x: Float[Array, "B N D"],
    *,
    scope: Scope = Scope(),
    context: None = None,
    context_scope: Scope = Scope(),
    drop_path_rate: Float[Array, ""] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B N D"]:
    """Runs one layer.

    Args:
      x: frames.
      scope: what they see of each other; those that are not its `valid` are padding.
      context: nothing, as a stack hands it on.
      context_scope: likewise.
      drop_path_rate: of this layer; None drops none.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call.
    """
    del context, context_scope
    random = {"deterministic": deterministic, "rngs": rngs}
    valid = jnp.ones(x.shape[:2], bool) if scope.valid is None else scope.valid

    def end(y, share):
      y = drop_values(y, rate=self.dropout, **random)
      return share * drop_path(y, rate=drop_path_rate, **random)

    x = x + end(self.mlp1(self.norm1(x), **random), 0.5)
    x = x + end(self.attention(self.norm2(x), scope=scope, **random), 1.0)
    x = x + end(self.convolution(Frames(self.norm3(x), valid)), 1.0)
    x = x + end(self.mlp2(self.norm4(x), **random), 0.5)
    return self.norm(x)

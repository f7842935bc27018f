"""Low-rank adaptation: a linear layer that stays as it was, and a narrow product beside it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.ranges import PositiveFloat, PositiveInt, Rate

# The names of the two parameters, which sharding, optimizer and converters know them by.
LORA_A, LORA_B = "lora_a", "lora_b"


class LoRALinear(nnx.Linear):
  """A linear layer with a low-rank update of its kernel.

      y = x W + b + (alpha / rank) (dropout(x) A) B,    A "in rank", B "rank out"

  B starts at zero, so that a new one computes what the layer did, to the bit. A layer of a stack,
  whose kernel has a leading layer axis, gets an A and a B of each layer, on the same axis.

  Args:
    layer: the layer whose kernel and bias become this one's.
    rank: the width of the product.
    alpha: the scale of the product is alpha / rank.
    dropout: rate on what the product reads, in [0, 1).
    rngs: keys for the initial values of A.

  Reference: LoRA, arXiv 2106.09685. A starts as in its authors' code, uniform within 1 / sqrt(in),
  where the paper says Gaussian.
  """

  def __init__(
    self,
    layer: nnx.Linear,
    *,
    rank: PositiveInt,
    alpha: PositiveFloat,
    dropout: Rate = 0.0,
    rngs: nnx.Rngs,
  ):
    how = {"use_bias": layer.use_bias, "dtype": layer.dtype, "param_dtype": layer.param_dtype}
    how |= {"precision": layer.precision, "dot_general": layer.dot_general}
    how |= {"promote_dtype": layer.promote_dtype}
    how |= {"preferred_element_type": layer.preferred_element_type}
    super().__init__(layer.in_features, layer.out_features, rngs=rngs, **how)
    self.kernel, self.bias = layer.kernel, layer.bias
    *stack, rows, columns = layer.kernel[...].shape
    bound = 1 / math.sqrt(rows)
    shape = (*stack, rows, rank)
    a = jax.random.uniform(rngs.params(), shape, layer.param_dtype, -bound, bound)
    self.lora_a = nnx.Param(a)
    self.lora_b = nnx.Param(jnp.zeros((*stack, rank, columns), layer.param_dtype))
    self.scale, self.lora_dropout = alpha / rank, dropout

  def __call__(
    self,
    inputs: Float[Array, "*B in"],
    out_sharding: Any = None,
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "*B out"]:
    """Applies the layer and its update; dropout needs `rngs`."""
    y = super().__call__(inputs, out_sharding)
    x = drop_values(inputs, rate=self.lora_dropout, deterministic=deterministic, rngs=rngs)
    x, a, b = self.promote_dtype((x, self.lora_a[...], self.lora_b[...]), dtype=self.dtype)
    return y + jnp.asarray(self.scale, y.dtype) * ((x @ a) @ b)

  def merged(self) -> nnx.Linear:
    """A plain layer that computes the same but for rounding: its kernel is W + scale A B."""
    kernel = merged_kernel(self.kernel[...], self.lora_a[...], self.lora_b[...], scale=self.scale)
    # Its own kernel is never made: only shapes are.
    plain = nnx.eval_shape(
      lambda: nnx.Linear(
        self.in_features,
        self.out_features,
        use_bias=self.use_bias,
        dtype=self.dtype,
        param_dtype=self.param_dtype,
        precision=self.precision,
        dot_general=self.dot_general,
        promote_dtype=self.promote_dtype,
        preferred_element_type=self.preferred_element_type,
        rngs=nnx.Rngs(0),
      )
    )
    plain.kernel, plain.bias = nnx.Param(kernel), self.bias
    return plain


def merged_kernel(
  kernel: Float[Array, "*L in out"],
  a: Float[Array, "*L in rank"],
  b: Float[Array, "*L rank out"],
  *,
  scale: float,
) -> Float[Array, "*L in out"]:
  """The kernel of a plain layer that computes the same, W + scale A B.

  Args:
    kernel: W, of a layer or of a stack of layers.
    a: A, of the same layers.
    b: B, of the same layers.
    scale: alpha / rank of the layers.
  """
  return kernel + scale * jnp.matmul(a, b, precision="highest")


def project(
  layer: nnx.Linear,
  x: Float[Array, "*B in"],
  *,
  deterministic: bool = True,
  rngs: nnx.Rngs | None = None,
) -> Float[Array, "*B out"]:
  """Calls a linear layer, and tells one with a low-rank update whether this is training.

  Args:
    layer: the layer, plain or a `LoRALinear`.
    x: what it reads.
    deterministic: True switches dropout off.
    rngs: keys for this call.
  """
  if isinstance(layer, LoRALinear):
    return layer(x, deterministic=deterministic, rngs=rngs)
  return layer(x)

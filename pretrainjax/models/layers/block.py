"""The pre-norm transformer block, and stacks of it that run as one scan.

A stack is one `Block` whose every array has a leading layer axis. It compiles once however
deep it is, and its parameters stay few: models keep it under the name "blocks", which is how
optimizer, sharding and converters know of that axis.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from pretrainjax.models.layers.attention import Attention
from pretrainjax.models.layers.drop import drop_path, dropout
from pretrainjax.models.layers.mlp import Mlp
from pretrainjax.models.layers.norm import LayerNorm

# What the backward pass finds saved of a layer: "none" all (no recomputation), "dots" the
# results of weight matrices, "full" only the layer's input.
Remat = Literal["none", "dots", "full"]


class LayerScale(nnx.Module):
  """Multiplies a residual branch by learned values, one a channel (arXiv 2103.17239)."""

  def __init__(self, *, embed_dim: int, initial: float):
    self.scale = nnx.Param(jnp.full((embed_dim,), initial, jnp.float32))

  def __call__(self, x: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
    """Scales `x`."""
    return x * self.scale[...].astype(x.dtype).reshape(1, 1, -1)


class Block(nnx.Module):
  """x + attention(norm(x)), then x + mlp(norm(x)).

  Args:
    embed_dim: width, D.
    num_heads: of attention.
    mlp_dim: width inside the perceptron.
    eps: of the layer norms.
    layer_scale: initial value of learned scales of both branches; None has none.
    dropout: rate after attention and in the perceptron.
    dtype: of the computation.
    rngs: keys for the initial values.
  """

  def __init__(
    self,
    *,
    embed_dim: int,
    num_heads: int,
    mlp_dim: int,
    eps: float = 1e-6,
    layer_scale: float | None = None,
    dropout: float = 0.0,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    self.dropout = dropout
    self.norm1 = LayerNorm(embed_dim=embed_dim, eps=eps)
    self.attention = Attention(embed_dim=embed_dim, num_heads=num_heads, dtype=dtype, rngs=rngs)
    self.norm2 = LayerNorm(embed_dim=embed_dim, eps=eps)
    self.mlp = Mlp(embed_dim=embed_dim, mlp_dim=mlp_dim, dropout=dropout, dtype=dtype, rngs=rngs)
    scales = layer_scale is not None
    self.scale1 = LayerScale(embed_dim=embed_dim, initial=layer_scale) if scales else None
    self.scale2 = LayerScale(embed_dim=embed_dim, initial=layer_scale) if scales else None

  def __call__(
    self,
    x: Float[Array, "B N D"],
    *,
    valid: Bool[Array, "B N"] | None = None,
    drop_path_rate: Float[Array, ""] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B N D"]:
    """Runs one layer.

    Args:
      x: tokens.
      valid: True for tokens that may be attended to; None means all.
      drop_path_rate: of this layer; None drops none.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call, needed by what is switched on.
    """
    random = {"deterministic": deterministic, "rngs": rngs}
    y = self.attention(self.norm1(x), valid=valid)
    y = dropout(y, rate=self.dropout, **random)
    y = y if self.scale1 is None else self.scale1(y)
    x = x + drop_path(y, rate=drop_path_rate, **random)
    y = self.mlp(self.norm2(x), **random)
    y = y if self.scale2 is None else self.scale2(y)
    return x + drop_path(y, rate=drop_path_rate, **random)


def make_stack(num_layers: int, *, rngs: nnx.Rngs, **block_arguments) -> Block:
  """Makes `num_layers` blocks as one whose arrays have a leading layer axis.

  Args:
    num_layers: at least 1.
    rngs: keys for the initial values.
    **block_arguments: of `Block`.
  """
  if num_layers < 1:
    raise ValueError(f"num_layers={num_layers}: expected at least 1")
  keys = jax.random.split(rngs.params(), num_layers)
  return nnx.vmap(lambda key: Block(rngs=nnx.Rngs(key), **block_arguments))(keys)


def run_stack(
  blocks: Block,
  x: Float[Array, "B N D"],
  *,
  valid: Bool[Array, "B N"] | None = None,
  drop_path: float = 0.0,
  remat: Remat = "none",
  unroll: int = 1,
  deterministic: bool = True,
  rngs: nnx.Rngs | None = None,
) -> Float[Array, "B N D"]:
  """Runs a stack of `make_stack` as one scan over its layers.

  Args:
    blocks: the stack.
    x: tokens.
    valid: True for tokens that may be attended to; None means all.
    drop_path: rate of the last layer; the first has 0, those between lie on a line.
    remat: what is recomputed in the backward pass instead of kept.
    unroll: layers a loop iteration holds; more is compiled slower and may run faster.
    deterministic: True switches dropout and drop path off.
    rngs: keys for this call, needed by what is switched on.

  Raises:
    ValueError: for randomness without `rngs`.
  """
  graphdef, stacked = nnx.split(blocks)
  num_layers = jax.tree.leaves(stacked)[0].shape[0]
  random = not deterministic and (drop_path > 0 or blocks.dropout > 0)
  if random and rngs is None:
    raise ValueError("deterministic=False with dropout or drop path needs rngs=")
  keys = jax.random.split(rngs.dropout(), num_layers) if random else None
  rates = jnp.linspace(0.0, drop_path, num_layers) if random and drop_path > 0 else None

  def layer(x, state_rate_key):
    state, rate, key = state_rate_key
    x = nnx.merge(graphdef, state)(
      x,
      valid=valid,
      drop_path_rate=rate,
      deterministic=deterministic,
      rngs=None if key is None else nnx.Rngs(key),
    )
    return x, None

  layer = _rematerialised(layer, remat, in_loop=unroll == 1)
  return jax.lax.scan(layer, x, (stacked, rates, keys), unroll=min(unroll, num_layers))[0]


def _rematerialised(layer, remat: Remat, *, in_loop: bool):
  if remat == "none":
    return layer
  policies = jax.checkpoint_policies
  policy = policies.dots_with_no_batch_dims_saveable if remat == "dots" else None
  # A loop keeps XLA from merging the recomputation with the original; unrolled it must be told.
  return jax.checkpoint(layer, policy=policy, prevent_cse=not in_loop)

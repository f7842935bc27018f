"""The transformer block that all our transformers are made of."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.models.layers.attention import Attention, Cache, Remembered
from pretrainjax.models.layers.drop import drop_path
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.mlp import Activation, Initializer, Mlp
from pretrainjax.models.layers.norm import LayerNorm, RMSNorm
from pretrainjax.models.layers.scope import Rotary, Scope
from pretrainjax.ranges import Finite, PositiveFloat, PositiveInt, Rate

NormKind = Literal["layer", "layer_scale", "rms"]


def make_norm(kind: NormKind, *, embed_dim: int, eps: float) -> LayerNorm | RMSNorm:
  """A norm by name: layer norm, layer norm without shift, root mean square norm.

  Args:
    kind: the name of the norm.
    embed_dim: width of the tokens, D.
    eps: the number added to the variance.
  """
  if kind == "rms":
    return RMSNorm(embed_dim=embed_dim, eps=eps)
  return LayerNorm(embed_dim=embed_dim, eps=eps, use_bias=kind == "layer")


class LayerScale(nnx.Module):
  """Multiplies a residual branch by learned values, one a channel (arXiv 2103.17239)."""

  def __init__(self, *, embed_dim: PositiveInt, initial: Finite):
    self.scale = nnx.Param(jnp.full((embed_dim,), initial, jnp.float32))

  def __call__(self, x: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
    """Scales `x`."""
    return x * self.scale[...].astype(x.dtype).reshape(1, 1, -1)


class Block(nnx.Module):
  """Attention, perhaps attention to a context, and a perceptron, each a residual branch.

  Args:
    embed_dim: width of the tokens, D.
    num_heads: number of attention heads.
    mlp_dim: width inside the perceptron.
    eps: the number added to variances in the norms.
    norm: kind of the norms.
    order: "pre" is x + branch(norm(x)), "post" (BERT) is norm(x + branch(x)).
    first_norm: False leaves the norm before attention out (ModernBERT's first layer).
    cross: whether there is attention to a context (decoders).
    num_kv_heads: number of heads of keys and values, see `Attention`.
    head_dim: width of one head, see `Attention`.
    scale: the scale of the logits, see `Attention`.
    activation: the activation of the perceptron.
    gated: whether it is gated.
    use_bias: whether all linear layers have a bias.
    qkv_bias: whether queries, keys and values have one; None takes `use_bias`.
    key_bias: whether that of keys has one, see `Attention`.
    qk_norm: whether each head's queries and keys are normalised, see `Attention`.
    layer_scale: initial value of learned scales of the branches; None has none.
    dropout: rate at the end of each branch.
    inner_dropout: rate after the perceptron's activation; None takes `dropout`.
    attention_dropout: rate on attention's weights.
    kernel_init: initial values of weights.
    out_init: initial values of weights that end a branch; None takes kernel_init.
    query_init: initial values of the queries' weights; None takes kernel_init.
    dtype: the dtype of the computation.
    rngs: keys for the initial values.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    eps: PositiveFloat = 1e-6,
    norm: NormKind = "layer",
    order: Literal["pre", "post"] = "pre",
    first_norm: bool = True,
    cross: bool = False,
    num_kv_heads: PositiveInt | None = None,
    head_dim: PositiveInt | None = None,
    scale: PositiveFloat | None = None,
    activation: Activation = "gelu",
    gated: bool = False,
    use_bias: bool = True,
    qkv_bias: bool | None = None,
    key_bias: bool | None = None,
    qk_norm: bool = False,
    layer_scale: Finite | None = None,
    dropout: Rate = 0.0,
    inner_dropout: Rate | None = None,
    attention_dropout: Rate = 0.0,
    kernel_init: Initializer = nnx.initializers.xavier_uniform(),
    out_init: Initializer | None = None,
    query_init: Initializer | None = None,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    inner_dropout = dropout if inner_dropout is None else inner_dropout
    self.order, self.dropout = order, dropout
    self.is_random = max(dropout, inner_dropout, attention_dropout) > 0
    shared = {"embed_dim": embed_dim, "use_bias": use_bias, "dtype": dtype, "rngs": rngs}
    shared |= {"kernel_init": kernel_init, "out_init": out_init}
    heads = {"num_heads": num_heads, "num_kv_heads": num_kv_heads, "head_dim": head_dim}
    heads |= {"scale": scale, "query_init": query_init, "dropout": attention_dropout}
    heads |= {"qkv_bias": qkv_bias, "key_bias": key_bias, "qk_norm_eps": eps if qk_norm else None}

    self.norm1 = make_norm(norm, embed_dim=embed_dim, eps=eps) if first_norm else None
    self.attention = Attention(**heads, **shared)
    self.norm_cross = make_norm(norm, embed_dim=embed_dim, eps=eps) if cross else None
    self.cross_attention = Attention(**heads, **shared) if cross else None
    self.norm2 = make_norm(norm, embed_dim=embed_dim, eps=eps)
    self.mlp = Mlp(
      mlp_dim=mlp_dim,
      activation=activation,
      gated=gated,
      dropout=dropout,
      inner_dropout=inner_dropout,
      **shared,
    )
    scales = layer_scale is not None
    self.scale1 = LayerScale(embed_dim=embed_dim, initial=layer_scale) if scales else None
    self.scale2 = LayerScale(embed_dim=embed_dim, initial=layer_scale) if scales else None

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
    """Runs one layer.

    Args:
      x: tokens.
      scope: what they see of each other.
      context: what a block with `cross` attends to.
      context_scope: what they see of it.
      drop_path_rate: of this layer; None drops none.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call, needed by what is switched on.
    """
    random = {"deterministic": deterministic, "rngs": rngs}

    def end(y, scale):
      y = drop_values(y, rate=self.dropout, **random)
      y = y if scale is None else scale(y)
      return drop_path(y, rate=drop_path_rate, **random)

    y = self.attention(self._before(self.norm1, x), scope=scope, **random)
    x = self._after(self.norm1, x + end(y, self.scale1))
    if self.cross_attention is not None:
      y = self._before(self.norm_cross, x)
      y = self.cross_attention(y, context=context, scope=context_scope, **random)
      x = self._after(self.norm_cross, x + end(y, None))
    y = self.mlp(self._before(self.norm2, x), **random)  # it ends with dropout of its own
    y = y if self.scale2 is None else self.scale2(y)
    return self._after(self.norm2, x + drop_path(y, rate=drop_path_rate, **random))

  def step(
    self,
    x: Float[Array, "B N D"],
    cache: Cache,
    *,
    positions: Int[Array, "B N"],
    rotary: Rotary | None = None,
    window: PositiveInt | None = None,
    context: Remembered | None = None,
    context_valid: Bool[Array, "B S"] | None = None,
  ) -> tuple[Float[Array, "B N D"], Cache]:
    """Reads some more tokens, see `Attention.step`.

    Args:
      x: the features of the next tokens.
      cache: the cache of all before.
      positions: places of `x` in their sequences.
      rotary: angles of these places.
      window: tokens see at most so many places before theirs; None is no limit.
      context: what `Attention.remember` made of what blocks with `cross` attend to.
      context_valid: True for what is present of it; None means all.
    """
    y = self._before(self.norm1, x)
    places = {"positions": positions, "rotary": rotary, "window": window}
    y, cache = self.attention.step(y, cache, **places)
    x = self._after(self.norm1, x + (y if self.scale1 is None else self.scale1(y)))
    if self.cross_attention is not None:
      y = self._before(self.norm_cross, x)
      y = self.cross_attention.recall(y, context, valid=context_valid)
      x = self._after(self.norm_cross, x + y)
    y = self.mlp(self._before(self.norm2, x))
    return self._after(self.norm2, x + (y if self.scale2 is None else self.scale2(y))), cache

  def _before(self, norm: LayerNorm | RMSNorm | None, x):
    return x if norm is None or self.order == "post" else norm(x)

  def _after(self, norm: LayerNorm | RMSNorm | None, x):
    return x if norm is None or self.order == "pre" else norm(x)

"""Multi-head attention; `dot_product_attention` is the one place that picks a kernel."""

import dataclasses
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax import collectives
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.lora import project
from pretrainjax.models.layers.norm import RMSNorm
from pretrainjax.models.layers.rotary import rotate
from pretrainjax.models.layers.scope import Rotary, Scope, mask_of
from pretrainjax.ranges import PositiveFloat, PositiveInt, Rate

Kernel = Literal["einsum", "heads", "xla", "cudnn"]
# Logits of a head from which on a CPU takes heads in turns: those of all leave its caches.
_MANY_LOGITS = 1 << 18
Initializer = jax.nn.initializers.Initializer


class Cache(NamedTuple):
  """Keys and values of what was read so far; a token's place is its index.

  Attributes:
    keys: "B S heads head_dim", of the heads of keys.
    values: "B S heads head_dim", of the heads of values.
  """

  keys: Float[Array, "*L B S heads head_dim"]
  values: Float[Array, "*L B S heads head_dim"]


class Remembered(NamedTuple):
  """Keys and values of a whole context, as products with a single query read them best.

  Attributes:
    keys: "B heads head_dim S", of the heads of keys.
    values: "B heads S head_dim", of the heads of values.
  """

  keys: Float[Array, "B heads head_dim S"]
  values: Float[Array, "B heads S head_dim"]


def pick_kernel(
  *, backend: str, dtype: jnp.dtype | str, head_dim: int, scope: Scope, num_logits: int = 0
) -> Kernel:
  """The fastest implementation of attention that works for these arrays.

  Args:
    backend: a name as `jax.default_backend()` gives it.
    dtype: the dtype of queries, keys and values.
    head_dim: width of one head.
    scope: which keys each query sees, see `Scope`.
    num_logits: the number of queries times that of keys, where one device has them all.
  """
  others = (scope.valid, scope.segments, scope.window, scope.bias)
  masked = any(condition is not None for condition in others)
  if backend == "cpu":
    # Measured 2.6 times faster there than jax.nn.dot_product_attention; with many logits heads one
    # by one are faster still (docs/log.md).
    is_long = num_logits >= _MANY_LOGITS and not masked and not scope.causal
    return "heads" if is_long else "einsum"
  # cuDNN's flash attention takes 16-bit floats and heads of up to 128 in steps of 8. It knows
  # causality; it turns a mask into a bias, which for training must have even lengths, so that
  # and windows (which it only has together with causality) go to XLA.
  flash = jnp.dtype(dtype).itemsize == 2 and head_dim % 8 == 0 and head_dim <= 128
  return "cudnn" if backend == "gpu" and flash and not masked else "xla"


def dot_product_attention(
  query: Float[Array, "B N heads head_dim"],
  key: Float[Array, "B S kv_heads head_dim"],
  value: Float[Array, "B S kv_heads head_dim"],
  *,
  scope: Scope = Scope(),
  scale: float | None = None,
  kernel: Kernel | None = None,
) -> Float[Array, "B N heads head_dim"]:
  """softmax(query key^T * scale + bias) value, the softmax in float32.

  Args:
    query: one a token that asks.
    key: one a token that is asked; where there are fewer heads, neighbouring heads of queries
      share one.
    value: what a key stands for.
    scope: which keys each query sees, see `Scope`.
    scale: None is 1 / sqrt(head_dim).
    kernel: None picks by backend, see `pick_kernel`.
  """
  head_dim = query.shape[-1]
  scale = 1 / math.sqrt(head_dim) if scale is None else scale
  kernel = kernel or pick_kernel(
    backend=jax.default_backend(),
    dtype=query.dtype,
    head_dim=head_dim,
    scope=scope,
    num_logits=_num_logits(query, key),
  )
  if kernel == "heads":
    return _head_by_head(query, key, value, scale=scale)
  if kernel == "einsum":
    mask = mask_of(scope, query.shape[1], key.shape[1])
    return _weighted(_weights(query, key, mask=mask, bias=scope.bias, scale=scale), value)
  is_causal = scope.causal and kernel == "cudnn"
  rest = dataclasses.replace(scope, causal=False) if is_causal else scope
  mask = mask_of(rest, query.shape[1], key.shape[1])
  return jax.nn.dot_product_attention(
    query,
    key,
    value,
    bias=scope.bias,
    mask=mask,
    scale=scale,
    is_causal=is_causal,
    implementation=kernel,
  )


def _num_logits(query: Float[Array, "B N heads _"], key: Float[Array, "B S kv_heads _"]) -> int:
  """The logits of a head; 0 where one device does not have all heads, or sizes are symbols."""
  sizes = (query.shape[0], query.shape[1], key.shape[1])
  is_plain = all(isinstance(size, int) for size in sizes) and query.shape[2] == key.shape[2]
  return query.shape[1] * key.shape[1] if is_plain and not collectives.has_mesh() else 0


def _head_by_head(
  query: Float[Array, "B N heads head_dim"],
  key: Float[Array, "B S heads head_dim"],
  value: Float[Array, "B S heads head_dim"],
  *,
  scale: float,
) -> Float[Array, "B N heads head_dim"]:
  """Attention without masks whose logits are in memory for one head of one row at a time."""
  batch, _, heads, head_dim = query.shape

  def one(parts):
    query, key, value = parts
    logits = jnp.einsum("qd,kd->qk", query * scale, key, preferred_element_type=jnp.float32)
    highest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - highest)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return (jnp.matmul(weights.astype(value.dtype), value) / total).astype(query.dtype)

  def by_head(x):
    return x.transpose(0, 2, 1, 3).reshape(batch * heads, -1, head_dim)

  found = jax.lax.map(one, (by_head(query), by_head(key), by_head(value)))
  return found.reshape(batch, heads, -1, head_dim).transpose(0, 2, 1, 3)  # -> B N heads head_dim


def _weights(
  query: Float[Array, "B N heads head_dim"],
  key: Float[Array, "B S kv_heads head_dim"],
  *,
  mask: Bool[Array, "_ 1 _ _"] | None,
  bias: Float[Array, "_ heads _ _"] | None,
  scale: float,
) -> Float[Array, "B heads N S"]:
  """The softmax of the logits, in float32."""
  query = query if scale == 1 else query * scale
  heads, kv_heads = query.shape[2], key.shape[2]
  if heads == kv_heads:
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32)
  else:
    grouped = query.reshape(*query.shape[:2], kv_heads, heads // kv_heads, -1)
    logits = jnp.einsum("bqhgd,bkhd->bhgqk", grouped, key, preferred_element_type=jnp.float32)
    logits = logits.reshape(logits.shape[0], heads, *logits.shape[3:])
  if bias is not None:
    logits = logits + jnp.broadcast_to(bias, logits.shape)
  if mask is not None:
    logits = jnp.where(mask, logits, jnp.finfo(jnp.float32).min)
  return jax.nn.softmax(logits, axis=-1)


def _weighted(
  weights: Float[Array, "B heads N S"], value: Float[Array, "B S kv_heads head_dim"]
) -> Float[Array, "B N heads head_dim"]:
  weights = weights.astype(value.dtype)
  heads, kv_heads = weights.shape[1], value.shape[2]
  if heads == kv_heads:
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)
  grouped = weights.reshape(weights.shape[0], kv_heads, heads // kv_heads, *weights.shape[2:])
  mixed = jnp.einsum("bhgqk,bkhd->bqhgd", grouped, value)
  return mixed.reshape(*mixed.shape[:2], heads, -1)


class Attention(nnx.Module):
  """Multi-head attention of tokens to themselves or to a context.

  Args:
    embed_dim: width in and out, D.
    num_heads: the number of heads of queries.
    num_kv_heads: the number of heads of keys and values, a divisor of num_heads (grouped queries,
      arXiv 2305.13245); None is num_heads.
    head_dim: width of one head; None is embed_dim / num_heads.
    use_bias: whether the four linear layers have a bias.
    qkv_bias: whether those of queries, keys and values have one; None takes `use_bias`.
    key_bias: whether that of keys has one, which changes no weight; None takes `qkv_bias`.
    qk_norm_eps: the number added to mean squares in norms of each head's queries and keys (arXiv
      2302.05442, with root mean squares); None has no such norms.
    scale: the scale of the logits; None is 1 / sqrt(head_dim), T5 has 1.
    dropout: rate on attention's weights, in [0, 1); above 0 no fused kernel is used in training.
    kernel_init: initial values of weights; biases start at 0.
    out_init: initial values of the last layer's weights; None takes kernel_init.
    query_init: initial values of the queries' weights; None takes kernel_init.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values.

  Reference: arXiv 1706.03762.
  """

  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    num_heads: PositiveInt,
    num_kv_heads: PositiveInt | None = None,
    head_dim: PositiveInt | None = None,
    use_bias: bool = True,
    qkv_bias: bool | None = None,
    key_bias: bool | None = None,
    qk_norm_eps: PositiveFloat | None = None,
    scale: PositiveFloat | None = None,
    dropout: Rate = 0.0,
    kernel_init: Initializer = nnx.initializers.xavier_uniform(),
    out_init: Initializer | None = None,
    query_init: Initializer | None = None,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    if head_dim is None and embed_dim % num_heads:
      raise ValueError(f"num_heads={num_heads}: expected a divisor of embed_dim={embed_dim}")
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    if num_heads % kv_heads:
      raise ValueError(f"num_kv_heads={kv_heads}: expected a divisor of num_heads={num_heads}")
    self.head_dim = head_dim = head_dim or embed_dim // num_heads
    self.num_kv_heads, self.dropout, self.dtype = kv_heads, dropout, dtype
    self._scale = 1 / math.sqrt(head_dim) if scale is None else scale

    def linear(rows: int, columns: int, init: Initializer, use_bias: bool) -> nnx.Linear:
      options = {"use_bias": use_bias, "dtype": dtype, "kernel_init": init, "rngs": rngs}
      return nnx.Linear(rows, columns, **options)

    inner, kv_inner = num_heads * head_dim, kv_heads * head_dim
    qkv_bias = use_bias if qkv_bias is None else qkv_bias
    self.query = linear(embed_dim, inner, query_init or kernel_init, qkv_bias)
    self.key = linear(embed_dim, kv_inner, kernel_init, qkv_bias if key_bias is None else key_bias)
    self.value = linear(embed_dim, kv_inner, kernel_init, qkv_bias)
    self.out = linear(inner, embed_dim, out_init or kernel_init, use_bias)
    norm = {"embed_dim": head_dim, "eps": qk_norm_eps}
    self.query_norm = None if qk_norm_eps is None else RMSNorm(**norm)
    self.key_norm = None if qk_norm_eps is None else RMSNorm(**norm)

  def __call__(
    self,
    x: Float[Array, "B N D"],
    *,
    context: Float[Array, "B S D"] | None = None,
    scope: Scope = Scope(),
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B N D"]:
    """Lets each token attend to those of its scope, or to a context.

    Args:
      x: tokens that ask.
      context: tokens that are asked; None takes `x`.
      scope: which of them are seen.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    context = x if context is None else context
    random = {"deterministic": deterministic, "rngs": rngs}
    read = ((self.query, x), (self.key, context), (self.value, context))
    query, key, value = (self._heads(project(layer, tokens, **random)) for layer, tokens in read)
    query, key = self._prepared(query, key, scope.rotary)
    # Each device's heads; its own queries, and the keys of the whole sequence.
    query = collectives.constrain(query, collectives.ROWS, "context", "tensor", None)
    key, value = (
      collectives.constrain(x, collectives.ROWS, None, "tensor", None) for x in (key, value)
    )
    if self.dropout > 0 and not deterministic:
      mask = mask_of(scope, query.shape[1], key.shape[1])
      weights = _weights(query, key, mask=mask, bias=scope.bias, scale=self._scale)
      weights = drop_values(weights, rate=self.dropout, deterministic=False, rngs=rngs)
      y = _weighted(weights, value)
    else:
      y = dot_product_attention(query, key, value, scope=scope, scale=self._scale)
    return project(self.out, y.reshape(*x.shape[:2], -1), **random)  # B N heads head_dim -> B N D

  def step(
    self,
    x: Float[Array, "B N D"],
    cache: Cache,
    *,
    positions: Int[Array, "B N"],
    rotary: Rotary | None = None,
    window: PositiveInt | None = None,
  ) -> tuple[Float[Array, "B N D"], Cache]:
    """Reads some more tokens of sequences whose beginning is in the cache.

    Args:
      x: the features of the next tokens.
      cache: the cache of all before; what lies at `positions` is written over.
      positions: places of `x` in their sequences; each token sees those up to its own.
      rotary: angles of these places.
      window: tokens see at most so many places before theirs; None is no limit.

    Returns:
      The result, and the cache with these tokens in it.
    """
    query, key, value = map(self._heads, (self.query(x), self.key(x), self.value(x)))
    query, key = self._prepared(query, key, rotary)
    cache = Cache(_written(cache.keys, key, positions), _written(cache.values, value, positions))
    places = jnp.arange(cache.keys.shape[1])
    distance = positions[:, :, None] - places[None, None, :]  # B N S
    seen = distance >= 0 if window is None else (distance >= 0) & (distance <= window)
    weights = _weights(query, cache.keys, mask=seen[:, None], bias=None, scale=self._scale)
    y = _weighted(weights, cache.values)
    return self.out(y.reshape(*x.shape[:2], -1)), cache

  def remember(self, context: Float[Array, "B S D"]) -> Remembered:
    """Keys and values of a whole context, for `recall`."""
    key, value = self._heads(self.key(context)), self._heads(self.value(context))
    return Remembered(key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3))

  def recall(
    self, x: Float[Array, "B N D"], memory: Remembered, *, valid: Bool[Array, "B S"] | None = None
  ) -> Float[Array, "B N D"]:
    """Lets tokens attend to a context, as the call with `context` does.

    Args:
      x: tokens that ask.
      memory: what `remember` made of the context.
      valid: True for what is present of it; None means all.
    """
    query = self._heads(self.query(x)) * self._scale
    kv_heads = memory.keys.shape[1]
    query = query.reshape(*x.shape[:2], kv_heads, -1, self.head_dim)  # B N kv_heads groups head_dim
    logits = jnp.einsum("bqhgd,bhdk->bhgqk", query, memory.keys, preferred_element_type=jnp.float32)
    if valid is not None:
      logits = jnp.where(valid[:, None, None, None], logits, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(memory.values.dtype)
    y = jnp.einsum("bhgqk,bhkd->bqhgd", weights, memory.values)
    return self.out(y.reshape(*x.shape[:2], -1))  # B N kv_heads groups head_dim -> B N D

  def _prepared(self, query, key, rotary: Rotary | None):
    """Queries and keys "B N heads head_dim", normalised and turned where they are to be."""
    if self.query_norm is not None:
      query, key = self.query_norm(query), self.key_norm(key)
    return (query, key) if rotary is None else (rotate(query, rotary), rotate(key, rotary))

  def _heads(self, x: Float[Array, "B N _"]) -> Float[Array, "B N heads head_dim"]:
    return x.reshape(*x.shape[:2], -1, self.head_dim)


def _written(
  table: Float[Array, "B S heads head_dim"],
  rows: Float[Array, "B N heads head_dim"],
  positions: Int[Array, "B N"],
) -> Float[Array, "B S heads head_dim"]:
  examples = jnp.arange(len(table))[:, None]
  return table.at[examples, positions].set(rows.astype(table.dtype), mode="drop")

"""The transformer of users' histories: SASRec, eSASRec and BERT4Rec are settings of it."""

from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.models.layers.block import Block
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.embedding import check_length, embed, pool_text
from pretrainjax.models.layers.interval import IntervalBias
from pretrainjax.models.layers.item_table import ItemTable
from pretrainjax.models.layers.ligr_block import LiGRBlock
from pretrainjax.models.layers.mlp import Activation, gelu
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.relative import RelativeBias
from pretrainjax.models.layers.rotary import rotary_angles
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.ranges import (
  FewInt,
  NonNegativeFloat,
  PositiveFloat,
  PositiveInt,
  Rate,
  ranged,
)
from pretrainjax.types import Batch, Encoded, Events


class ItemTransformer(nnx.Module):
  """A transformer that reads a user's history and says what is compared with the items.

      score = head(transformer(history))_last . vector of the item + its bias

  Args:
    num_items: items of the catalogue, whose numbers are 1 to this.
    max_length: the most events of a history; of a longer one the newest are read.
    embed_dim: width of the vectors, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    causal: whether events see only those before them. Where they see all (BERT4Rec), [MASK] is put
      behind a history, and its feature is what is compared with the items.
    positions: "learned" from the oldest event, "rotary" (arXiv 2104.09864), or "interval": biases
      of attention by the distance in events and in time, see `IntervalBias`.
    layers: "transformer", or "ligr" with gates (eSASRec), see `LiGRBlock`.
    order: of "transformer": "pre" has the norms in the branches and one at the end, "post" as
      BERT, with one after the embedding (RecBole's SASRec and BERT4Rec).
    activation: the activation of the perceptrons; "ligr" gates with it.
    use_head: a linear layer, GELU and a norm before the comparison (BERT4Rec, equation 8).
    use_bias: whether items have a bias (likewise).
    eps: the number added to variances in the layer norms.
    dropout: rate after the embedding and at the end of each branch, in [0, 1).
    attention_dropout: rate on attention's weights, in [0, 1).
    init_std: standard deviation of the truncated normal distribution, cut off at two of it, that
      weights start from.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for arguments that do not fit together.

  Reference: SASRec, arXiv 1808.09781; eSASRec, 2508.06450; BERT4Rec, 1904.06690. Ours differs in
  that rows are padded at the end and learned positions counted from the oldest event read, and in
  that "ligr" has a norm after the last block.
  """

  follows: ClassVar[Follows] = {
    "num_items": equals("prepared.num_items"),
    "max_length": takes("data.length"),
  }

  @ranged
  def __init__(
    self,
    *,
    num_items: PositiveInt,
    max_length: PositiveInt,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    causal: bool = True,
    positions: Literal["learned", "rotary", "interval"] = "learned",
    layers: Literal["transformer", "ligr"] = "transformer",
    order: Literal["pre", "post"] = "pre",
    activation: Activation = "gelu",
    use_head: bool = False,
    use_bias: bool = False,
    eps: PositiveFloat = 1e-6,
    dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    if layers == "ligr" and order == "post":
      raise ValueError("order='post': with layers='ligr' expected 'pre'")
    self.num_items, self.max_length, self.embed_dim = num_items, max_length, embed_dim
    self.causal, self.positions, self.dropout = causal, positions, dropout
    self.dtype, self.remat, self.unroll = dtype, remat, unroll

    init = nnx.initializers.truncated_normal(init_std)
    common = {"init_std": init_std, "rngs": rngs}
    self.table = ItemTable(num_items=num_items, embed_dim=embed_dim, use_bias=use_bias, **common)
    places = max_length + (not causal)  # and [MASK]
    learned, by_interval = positions == "learned", positions == "interval"
    self.position_table = nnx.Param(init(rngs.params(), (places, embed_dim))) if learned else None
    biases = {"num_heads": num_heads} | common
    self.relative_bias = RelativeBias(bidirectional=not causal, **biases) if by_interval else None
    self.interval_bias = IntervalBias(**biases) if by_interval else None
    norm = {"embed_dim": embed_dim, "eps": eps}
    self.embedding_norm = LayerNorm(**norm) if order == "post" else None
    self.blocks = make_stack(
      num_layers,
      kind=LiGRBlock if layers == "ligr" else Block,
      rngs=rngs,
      num_heads=num_heads,
      mlp_dim=mlp_dim,
      activation=activation,
      dropout=dropout,
      attention_dropout=attention_dropout,
      kernel_init=init,
      dtype=dtype,
      **norm,
      **({} if layers == "ligr" else {"order": order, "inner_dropout": 0.0}),
    )
    self.norm = LayerNorm(**norm) if order == "pre" else None
    linear = {"dtype": dtype, "kernel_init": init, "rngs": rngs}
    self.head = nnx.Linear(embed_dim, embed_dim, **linear) if use_head else None
    self.head_norm = LayerNorm(**norm) if use_head else None

  def inputs(self, batch: Batch) -> Events:
    """Takes the history out of a batch, its newest events; [MASK] behind it where not causal."""
    history = Events(*(jnp.asarray(batch[name]) for name in ("items", "times", "user")))
    history = newest_events(history, self.max_length)
    return history if self.causal else self.with_mask(history)

  def with_mask(self, history: Events) -> Events:
    """Histories with [MASK] behind them, in rows that are longer by one."""
    items, times = (jnp.pad(x, ((0, 0), (0, 1))) for x in history[:2])
    behind = jnp.arange(items.shape[1])[None] == jnp.sum(items > 0, axis=1)[:, None]
    return Events(jnp.where(behind, self.table.mask_id, items), times, history.user)

  def __call__(
    self,
    inputs: Events,
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes histories; the arguments are those of `sequence`, `keep` must be None."""
    if keep is not None:
      raise ValueError("keep: found indices, expected None, as histories are encoded whole")
    tokens = self.sequence(inputs, deterministic=deterministic, rngs=rngs)
    valid = jnp.asarray(inputs.items) > 0
    return Encoded(tokens, pool_text(tokens, valid=valid, pool="last"), valid)

  def sequence(
    self, inputs: Events, *, deterministic: bool = True, rngs: nnx.Rngs | None = None
  ) -> Float[Array, "B T D"]:
    """The features of all events at the end of the network.

    Args:
      inputs: histories, of which 0 is padding at the end; what is `mask_id` is [MASK].
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    items = jnp.asarray(inputs.items)
    length = items.shape[1]
    check_length(length, self.max_length + (not self.causal))
    random = {"deterministic": deterministic, "rngs": rngs}
    x = self.table(items, dtype=self.dtype)
    if self.position_table is not None:
      x = x + embed(self.position_table[...], jnp.arange(length)[None], dtype=self.dtype)
    x = x if self.embedding_norm is None else self.embedding_norm(x)
    x = drop_values(x, rate=self.dropout, **random)
    scopes = [self._scope(items, jnp.asarray(inputs.times))]
    x = run_stack(self.blocks, x, scopes=scopes, remat=self.remat, unroll=self.unroll, **random)
    return x if self.norm is None else self.norm(x)

  def _scope(self, items: Int[Array, "B T"], times: Int[Array, "B T"]) -> Scope:
    """What events see: padding sees padding, so that no row is without anything to see."""
    length, rotary, bias = items.shape[1], None, None
    if self.positions == "rotary":
      places = jnp.broadcast_to(jnp.arange(length)[None], items.shape)
      rotary = rotary_angles(places, head_dim=self.blocks.attention.head_dim, theta=10_000.0)
    if self.relative_bias is not None and self.interval_bias is not None:
      bias = self.interval_bias(times)
      bias = bias + jnp.broadcast_to(self.relative_bias(length, length), bias.shape)
    segments = (items > 0).astype(jnp.int32)
    return Scope(segments=segments, causal=self.causal, rotary=rotary, bias=bias)

  def compared(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """What is compared with the items, of features: `head` of them, where there is one."""
    if self.head is None or self.head_norm is None:
      return x
    return self.head_norm(gelu(self.head(x)))

  def queries(self, encoded: Encoded) -> Float[Array, "B D"]:
    """See `Recommender`."""
    return self.compared(encoded.pooled).astype(jnp.float32)

  def candidates(self) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
    """See `Recommender`."""
    return self.table.candidates()


def newest_events(history: Events, length: int) -> Events:
  """The newest events of histories that are padded at the end, at most `length` of them."""
  items = jnp.asarray(history.items)
  if items.shape[1] <= length:
    return history
  count = jnp.sum(items > 0, axis=1, keepdims=True)
  places = jnp.maximum(count - length, 0) + jnp.arange(length)[None]
  items, times = (jnp.take_along_axis(jnp.asarray(x), places, axis=1) for x in history[:2])
  return Events(items, times, history.user)

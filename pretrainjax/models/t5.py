"""T5, 1.0 and 1.1: an encoder of text and the decoder that pretraining puts beside it."""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.embedding import Pool, as_text, embed
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import RMSNorm
from pretrainjax.models.layers.relative import RelativeBias
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.sizes import named_size
from pretrainjax.models.text_encoder import TextEncoder
from pretrainjax.ranges import FewInt, PositiveFloat, PositiveInt, Rate, ranged
from pretrainjax.types import Text


class Size(NamedTuple):
  """The sizes of a T5 that the name of a size stands for; encoder and decoder are alike."""

  embed_dim: int
  num_layers: int
  num_heads: int
  head_dim: int
  mlp_dim: int


# The table of version 1.1 in the repository of T5, released_checkpoints.md.
SIZES = {
  "small": Size(512, 8, 6, 64, 1024),
  "base": Size(768, 12, 12, 64, 2048),
  "large": Size(1024, 24, 16, 64, 2816),
  "xl": Size(2048, 24, 32, 64, 5120),
}


def t5_size(name: str) -> dict[str, int]:
  """The arguments of `T5Encoder` and `T5Decoder` that a size such as "base" stands for.

  Raises:
    ValueError: for a name that is none.

  >>> t5_size("base")["mlp_dim"]
  2048
  """
  return named_size(name, SIZES)


def _stack(
  *,
  embed_dim: int,
  num_layers: int,
  num_heads: int,
  head_dim: int,
  mlp_dim: int,
  activation: Activation,
  gated: bool,
  eps: float,
  dropout: float,
  dtype: str,
  cross: bool,
  rngs: nnx.Rngs,
) -> Any:
  """Blocks with T5's norms, gates and initial values."""
  fan_in = nnx.initializers.variance_scaling(1.0, "fan_in", "normal")
  return make_stack(
    num_layers,
    rngs=rngs,
    embed_dim=embed_dim,
    num_heads=num_heads,
    head_dim=head_dim,
    mlp_dim=mlp_dim,
    eps=eps,
    norm="rms",
    cross=cross,
    scale=1.0,
    activation=activation,
    gated=gated,
    use_bias=False,
    dropout=dropout,
    attention_dropout=dropout,
    kernel_init=fan_in,
    # What other models divide logits by is in the queries' initial values.
    query_init=nnx.initializers.normal((embed_dim * head_dim) ** -0.5),
    dtype=dtype,
  )


class T5Encoder(TextEncoder):
  """A pre-norm transformer encoder of text with relative positions.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest row, for data to be checked against; there is no table of
      positions.
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads.
    head_dim: width of one head; num_heads * head_dim need not be D.
    mlp_dim: width inside the perceptrons.
    activation: the activation of the perceptrons: "gelu_tanh" in version 1.1, "relu" in 1.0.
    gated: whether they are gated: not so in version 1.0.
    num_buckets: ranges of distances that attention tells apart, see `layers.relative`.
    max_distance: the distance from which on all are in the last of them.
    pool: "cls", "mean" or "last": how `pooled` is made, see `pool_text`.
    eps: the number added to variances in the norms.
    dropout: rate after the embedding, in the blocks and after the last norm, in [0, 1).
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Reference: arXiv 1910.10683; gates as in 2002.05202 (version 1.1). Initial values as in the
  authors' code.
  """

  @ranged
  def __init__(
    self,
    *,
    vocab_size: PositiveInt,
    max_length: PositiveInt = 512,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    head_dim: PositiveInt,
    mlp_dim: PositiveInt,
    activation: Activation = "gelu_tanh",
    gated: bool = True,
    num_buckets: PositiveInt = 32,
    max_distance: PositiveInt = 128,
    pool: Pool = "mean",
    eps: PositiveFloat = 1e-6,
    dropout: Rate = 0.0,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.vocab_size, self.max_length, self.embed_dim = vocab_size, max_length, embed_dim
    self.pool, self.dropout, self.dtype = pool, dropout, dtype
    self.remat, self.unroll = remat, unroll
    init = nnx.initializers.normal(1.0)
    self.token_embedding = nnx.Param(init(rngs.params(), (vocab_size, embed_dim)))
    self.relative_bias = RelativeBias(
      num_heads=num_heads,
      bidirectional=True,
      num_buckets=num_buckets,
      max_distance=max_distance,
      init_std=embed_dim**-0.5,
      rngs=rngs,
    )
    self.blocks = _stack(
      embed_dim=embed_dim,
      num_layers=num_layers,
      num_heads=num_heads,
      head_dim=head_dim,
      mlp_dim=mlp_dim,
      activation=activation,
      gated=gated,
      eps=eps,
      dropout=dropout,
      dtype=dtype,
      cross=False,
      rngs=rngs,
    )
    self.norm = RMSNorm(embed_dim=embed_dim, eps=eps)

  def sequence(
    self,
    inputs: Text | Int[Array | np.ndarray, "B T"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B T D"]:
    """The features of all tokens after the last norm.

    Args:
      inputs: text, several documents a row perhaps, which do not see each other; or tokens alone,
        one document a row.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    text, random = as_text(inputs), {"deterministic": deterministic, "rngs": rngs}
    length = text.tokens.shape[1]
    scope = Scope(segments=jnp.asarray(text.segments), bias=self.relative_bias(length, length))
    x = embed(self.token_embedding[...], text.tokens, dtype=self.dtype)
    x = drop_values(x, rate=self.dropout, **random)
    x = run_stack(self.blocks, x, scopes=[scope], remat=self.remat, unroll=self.unroll, **random)
    return drop_values(self.norm(x), rate=self.dropout, **random)


class T5Decoder(nnx.Module):
  """A transformer decoder whose tokens see those before them and the encoder's.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    embed_dim: width of tokens, D, the encoder's too.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads.
    head_dim: width of one head.
    mlp_dim: width inside the perceptrons.
    activation: the activation of the perceptrons.
    gated: whether they are gated.
    num_buckets: ranges of distances that attention tells apart.
    max_distance: the distance from which on all are in the last of them.
    tied: score by the encoder's table of tokens (T5 1.0) in place of one of its own.
    scaled: whether features are divided by sqrt(D) before a tied table scores them, as in T5 1.0.
    eps: the number added to variances in the norms.
    dropout: rate of dropout in [0, 1), see `T5Encoder`.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Reference: see `T5Encoder`.
  """

  @ranged
  def __init__(
    self,
    *,
    vocab_size: PositiveInt,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    head_dim: PositiveInt,
    mlp_dim: PositiveInt,
    activation: Activation = "gelu_tanh",
    gated: bool = True,
    num_buckets: PositiveInt = 32,
    max_distance: PositiveInt = 128,
    tied: bool = False,
    scaled: bool = True,
    eps: PositiveFloat = 1e-6,
    dropout: Rate = 0.0,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.vocab_size, self.embed_dim, self.dropout = vocab_size, embed_dim, dropout
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    self.is_scaled = tied and scaled
    self.relative_bias = RelativeBias(
      num_heads=num_heads,
      bidirectional=False,
      num_buckets=num_buckets,
      max_distance=max_distance,
      init_std=embed_dim**-0.5,
      rngs=rngs,
    )
    self.blocks = _stack(
      embed_dim=embed_dim,
      num_layers=num_layers,
      num_heads=num_heads,
      head_dim=head_dim,
      mlp_dim=mlp_dim,
      activation=activation,
      gated=gated,
      eps=eps,
      dropout=dropout,
      dtype=dtype,
      cross=True,
      rngs=rngs,
    )
    self.norm = RMSNorm(embed_dim=embed_dim, eps=eps)
    init, shape = nnx.initializers.normal(embed_dim**-0.5), (vocab_size, embed_dim)
    self.output_table = None if tied else nnx.Param(init(rngs.params(), shape))

  def __call__(
    self,
    tokens: Int[Array, "B S"],
    context: Float[Array, "B T D"],
    *,
    valid: Bool[Array, "B T"],
    table: Float[Array, "V D"],
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B S D"]:
    """Features whose product with `scores_table` is the score of the next token.

    Args:
      tokens: the target, from the mark of its start on.
      context: what the encoder made of the input.
      valid: True for tokens of the context that are present.
      table: the encoder's `token_embedding`.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    random = {"deterministic": deterministic, "rngs": rngs}
    length = tokens.shape[1]
    x = drop_values(embed(table, tokens, dtype=self.dtype), rate=self.dropout, **random)
    x = run_stack(
      self.blocks,
      x,
      scopes=[Scope(causal=True, bias=self.relative_bias(length, length))],
      context=context,
      context_scope=Scope(valid=valid),
      remat=self.remat,
      unroll=self.unroll,
      **random,
    )
    x = drop_values(self.norm(x), rate=self.dropout, **random)
    return x * self.embed_dim**-0.5 if self.is_scaled else x

  def scores_table(self, table: Float[Array, "V D"]) -> Float[Array, "V D"]:
    """The table of the scores, one row a token: its own, or the encoder's `table` where tied."""
    return table if self.output_table is None else self.output_table[...]

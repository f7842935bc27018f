"""The encoder of texts beside an encoder of images: CLIP's, and SigLIP's."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.models.causal import residual_std
from pretrainjax.models.layers.embedding import Pool, as_text, check_length, embed, pool_text
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.scope import Scope, positions_of
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.text_encoder import TextEncoder
from pretrainjax.ranges import (
  FewInt,
  NonNegativeFloat,
  NonNegativeInt,
  PositiveFloat,
  PositiveInt,
  Rate,
  ranged,
)
from pretrainjax.types import Encoded, Text


class TextTower(TextEncoder):
  """A pre-norm transformer encoder of text with learned positions.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest row, and rows of the table of positions.
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    causal: whether tokens see only themselves and what comes before (CLIP); SigLIP's see all.
    pool: what `pooled` is: "end" is the token that ends the text (CLIP), see `end_id`; "last" the
      last token (SigLIP); for "cls" and "mean" see `pool_text`.
    end_id: the token that ends a text: "end" is the first of them, or the first token of a text
      without any. None takes the first token of the highest id in its place, as OpenAI's CLIP
      does, whose vocabulary has the end last.
    fill_id: the token that rows are filled up to `max_length` with, which is then read like all
      others: SigLIP was trained so. None leaves padding out, as it is everywhere else here.
    activation: the activation of the perceptrons.
    eps: the number added to variances in the layer norms: 1e-5 in CLIP, 1e-6 in SigLIP.
    attention_dropout: rate on attention's weights, in [0, 1).
    init_std: standard deviation of the normal distribution that weights start from; those that end
      a branch start from one narrower by sqrt(2 num_layers), as GPT-2's.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for arguments that do not fit together.

  Reference: CLIP, arXiv 2103.00020, section 2.4; SigLIP, 2303.15343. Ours differ in that the
  projection behind `pooled` is a network of its own, see `models.two_towers`.
  """

  @ranged
  def __init__(
    self,
    *,
    vocab_size: PositiveInt,
    max_length: PositiveInt,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    causal: bool = True,
    pool: Pool | Literal["end"] = "end",
    end_id: NonNegativeInt | None = None,
    fill_id: NonNegativeInt | None = None,
    activation: Activation = "quick_gelu",
    eps: PositiveFloat = 1e-5,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    if fill_id is not None and fill_id >= vocab_size:
      raise ValueError(f"fill_id={fill_id}: expected a token below vocab_size={vocab_size}")
    self.vocab_size, self.max_length, self.embed_dim = vocab_size, max_length, embed_dim
    self.causal, self.pool, self.end_id, self.fill_id = causal, pool, end_id, fill_id
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    init = nnx.initializers.normal(init_std)
    self.token_embedding = nnx.Param(init(rngs.params(), (vocab_size, embed_dim)))
    self.position_table = nnx.Param(init(rngs.params(), (max_length, embed_dim)))
    self.blocks = make_stack(
      num_layers,
      rngs=rngs,
      embed_dim=embed_dim,
      num_heads=num_heads,
      mlp_dim=mlp_dim,
      eps=eps,
      activation=activation,
      attention_dropout=attention_dropout,
      kernel_init=init,
      out_init=nnx.initializers.normal(residual_std(init_std, num_layers)),
      dtype=dtype,
    )
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)

  def __call__(
    self,
    inputs: Text | Int[Array | np.ndarray, "B T"],
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes text; the arguments are those of `sequence`, `keep` must be None."""
    if keep is not None:
      raise ValueError("keep: found indices, expected None, as text is encoded whole")
    given = as_text(inputs)
    text, length = self._filled(given), given.tokens.shape[1]
    x = self._run(text, deterministic=deterministic, rngs=rngs)
    return Encoded(x[:, :length], self._pooled(x, text), jnp.asarray(given.segments) > 0)

  def sequence(
    self,
    inputs: Text | Int[Array | np.ndarray, "B T"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B T D"]:
    """The features of all tokens after the last norm.

    Args:
      inputs: text, several documents a row perhaps, which do not see each other, but for `fill_id`,
        which takes one; or tokens alone, one document a row.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    text = as_text(inputs)
    x = self._run(self._filled(text), deterministic=deterministic, rngs=rngs)
    return x[:, : text.tokens.shape[1]]

  def _filled(self, text: Text) -> Text:
    """The text as it is read: with `fill_id` up to the longest row."""
    check_length(text.tokens.shape[1], self.max_length)
    if self.fill_id is None:
      return text
    present = jnp.asarray(text.segments) > 0
    tokens = jnp.where(present, jnp.asarray(text.tokens), self.fill_id)
    rest = ((0, 0), (0, self.max_length - tokens.shape[1]))
    tokens = jnp.pad(tokens, rest, constant_values=self.fill_id)
    return Text(tokens, jnp.ones_like(tokens))

  def _run(
    self, text: Text, *, deterministic: bool, rngs: nnx.Rngs | None
  ) -> Float[Array, "B T D"]:
    segments = jnp.asarray(text.segments)
    x = embed(self.token_embedding[...], text.tokens, dtype=self.dtype)
    x = x + embed(self.position_table[...], positions_of(segments), dtype=self.dtype)
    x = run_stack(
      self.blocks,
      x,
      scopes=[Scope(segments=segments, causal=self.causal)],
      remat=self.remat,
      unroll=self.unroll,
      deterministic=deterministic,
      rngs=rngs,
    )
    return self.norm(x)

  def _pooled(self, x: Float[Array, "B T D"], text: Text) -> Float[Array, "B D"]:
    valid = jnp.asarray(text.segments) > 0
    if self.pool != "end":
      return pool_text(x, valid=valid, pool=self.pool)
    place = end_of(jnp.asarray(text.tokens), valid=valid, end_id=self.end_id)
    return jnp.take_along_axis(x, place[:, None, None], axis=1)[:, 0]  # B T D -> B D


def end_of(
  tokens: Int[Array, "B T"], *, valid: Bool[Array, "B T"], end_id: int | None
) -> Int[Array, " B"]:
  """The place of the token that ends each text.

  Args:
    tokens: the token ids of each row.
    valid: True for tokens, False for padding.
    end_id: the token that ends a text, see `TextTower`.

  >>> end_of(jnp.array([[5, 9, 9, 7]]), valid=jnp.ones((1, 4), bool), end_id=9).tolist()
  [1]
  """
  # A first token stands for an end that is not there.
  rank = tokens + 1 if end_id is None else 1 + (tokens == end_id)
  return jnp.argmax(jnp.where(valid, rank, 0), axis=1)

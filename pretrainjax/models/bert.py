"""BERT, and what differs from it in numbers: RoBERTa, DistilBERT, and ELECTRA's two networks."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.embedding import (
  Pool,
  as_text,
  check_length,
  embed,
  embed_types,
)
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.scope import Scope, positions_of
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.sizes import named_size
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
from pretrainjax.types import Text


class Size(NamedTuple):
  """The sizes of a BERT that the name of a size stands for."""

  embed_dim: int
  num_layers: int
  num_heads: int
  mlp_dim: int
  embedding_dim: int


SIZES = {
  "tiny": Size(128, 2, 2, 512, 128),  # arXiv 1908.08962, table 1
  "mini": Size(256, 4, 4, 1024, 256),  # same
  "small": Size(512, 4, 8, 2048, 512),  # same
  "medium": Size(512, 8, 8, 2048, 512),  # same
  "electra_small": Size(256, 12, 4, 1024, 128),  # ELECTRA, arXiv 2003.10555, table 6
  "base": Size(768, 12, 12, 3072, 768),  # BERT, arXiv 1810.04805, section 3
  "large": Size(1024, 24, 16, 4096, 1024),  # same
}


def bert_size(name: str) -> dict[str, int]:
  """The arguments of `BERT` that a size such as "base" stands for.

  Raises:
    ValueError: for a name that is none.

  >>> bert_size("tiny")["embed_dim"], bert_size("electra_small")["embedding_dim"]
  (128, 128)
  """
  return named_size(name, SIZES)


class BERT(TextEncoder):
  """A post-norm transformer encoder of text with learned positions.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest row (RoBERTa's 512, where Hugging Face says 514).
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    position_offset: rows of the table of positions before that of the first token: published
      RoBERTas have 2, for padding.
    num_types: kinds of tokens, 2 for first and second text; 1 in RoBERTa, which ignores them; 0
      in DistilBERT, which has no table of them.
    embedding_dim: width of the tables, E, with a projection to D where it differs (ELECTRA);
      None is embed_dim.
    pool: "cls", "mean" or "last": how `pooled` is made, see `pool_text`.
    activation: the activation of the perceptrons.
    eps: the number added to variances in the layer norms: 1e-12 in BERT and ELECTRA, 1e-5 in
      RoBERTa.
    order: "post" is BERT's; "pre" has the norms in the branches and one more at the end, and bears
      higher learning rates (Megatron-LM, arXiv 1909.08053, section 5.3).
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

  Reference: arXiv 1810.04805; 1907.11692 (RoBERTa); 1910.01108 (DistilBERT); 2003.10555
  (ELECTRA). Ours differs in that the pooler, a linear layer and tanh, belongs to the head that
  needs one.
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
    position_offset: NonNegativeInt = 0,
    num_types: NonNegativeInt = 2,
    embedding_dim: PositiveInt | None = None,
    pool: Pool = "cls",
    activation: Activation = "gelu",
    eps: PositiveFloat = 1e-12,
    order: Literal["post", "pre"] = "post",
    dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.vocab_size, self.max_length, self.embed_dim = vocab_size, max_length, embed_dim
    self.embedding_dim = width = embed_dim if embedding_dim is None else embedding_dim
    self.num_types, self.pool, self.dropout = num_types, pool, dropout
    self.position_offset = position_offset
    self.dtype, self.remat, self.unroll = dtype, remat, unroll

    init = nnx.initializers.truncated_normal(init_std)
    self.token_embedding = nnx.Param(init(rngs.params(), (vocab_size, width)))
    self.position_table = nnx.Param(init(rngs.params(), (max_length + position_offset, width)))
    types = (num_types, width)
    self.type_embedding = nnx.Param(init(rngs.params(), types)) if num_types else None
    self.embedding_norm = LayerNorm(embed_dim=width, eps=eps)
    linear = {"dtype": dtype, "kernel_init": init, "rngs": rngs}
    narrow = width != embed_dim
    self.embedding_projection = nnx.Linear(width, embed_dim, **linear) if narrow else None
    self.blocks = make_stack(
      num_layers,
      rngs=rngs,
      embed_dim=embed_dim,
      num_heads=num_heads,
      mlp_dim=mlp_dim,
      eps=eps,
      order=order,
      activation=activation,
      dropout=dropout,
      inner_dropout=0.0,
      attention_dropout=attention_dropout,
      kernel_init=init,
      dtype=dtype,
    )
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps) if order == "pre" else None

  def sequence(
    self,
    inputs: Text | Int[Array | np.ndarray, "B T"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B T D"]:
    """The features of all tokens after the last block.

    Args:
      inputs: text, several documents a row perhaps, which do not see each other; or tokens alone,
        one document a row.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    text, random = as_text(inputs), {"deterministic": deterministic, "rngs": rngs}
    return self.transform(self.embed(text, **random), segments=text.segments, **random)

  def embed(
    self, text: Text, *, deterministic: bool = True, rngs: nnx.Rngs | None = None
  ) -> Float[Array, "B T E"]:
    """The sum of token, position and type embeddings, normalised: what the blocks get.

    Args:
      text: tokens, their documents and their types.
      deterministic: False applies dropout to the result.
      rngs: keys of dropout; None where it is not applied.
    """
    check_length(text.tokens.shape[1], self.max_length)
    types = text.types if self.num_types > 1 else None
    x = embed(self.token_embedding[...], text.tokens, dtype=self.dtype)
    positions = positions_of(jnp.asarray(text.segments)) + self.position_offset
    x = x + embed(self.position_table[...], positions, dtype=self.dtype)
    if self.type_embedding is not None:
      x = x + embed_types(self.type_embedding[...], types, dtype=self.dtype)
    x = self.embedding_norm(x)
    return drop_values(x, rate=self.dropout, deterministic=deterministic, rngs=rngs)

  def transform(
    self,
    x: Float[Array, "B T E"],
    *,
    segments: Int[Array | np.ndarray, "B T"],
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B T D"]:
    """Runs projection and blocks on what `embed` returned (of another model too: ELECTRA).

    Args:
      x: the embeddings "B T E".
      segments: the number of each token's document, 0 for padding.
      deterministic: False applies dropout in the blocks.
      rngs: keys of dropout; None where it is not applied.
    """
    x = x if self.embedding_projection is None else self.embedding_projection(x)
    x = run_stack(
      self.blocks,
      x,
      scopes=[Scope(segments=jnp.asarray(segments))],
      remat=self.remat,
      unroll=self.unroll,
      deterministic=deterministic,
      rngs=rngs,
    )
    return x if self.norm is None else self.norm(x)

"""GPT-2: a pre-norm transformer with learned positions that predicts the next token."""

from typing import Literal, NamedTuple

from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.causal import CausalModel, residual_std
from pretrainjax.models.layers.embedding import Pool, embed
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.stack import Remat, make_stack
from pretrainjax.models.sizes import named_size
from pretrainjax.ranges import FewInt, NonNegativeFloat, PositiveFloat, PositiveInt, Rate, ranged


class Size(NamedTuple):
  """The sizes of a GPT that the name of a size stands for."""

  embed_dim: int
  num_layers: int
  num_heads: int
  mlp_dim: int


# Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", table 2; the heads, of
# 64 channels but for the largest's, are those of the published hparams.json.
SIZES = {
  "small": Size(768, 12, 12, 3072),
  "medium": Size(1024, 24, 16, 4096),
  "large": Size(1280, 36, 20, 5120),
  "xl": Size(1600, 48, 25, 6400),
}


def gpt_size(name: str) -> dict[str, int]:
  """The arguments of `GPT` that a size such as "small" (124 M parameters) stands for.

  Raises:
    ValueError: for a name that is none.

  >>> gpt_size("small")["embed_dim"], gpt_size("xl")["num_layers"]
  (768, 48)
  """
  return named_size(name, SIZES)


class GPT(CausalModel):
  """A causal transformer with learned positions: each token sees itself and what comes before.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest row, and rows of the table of positions.
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    pool: what `pooled` is; the last token is the only one that has seen all.
    activation: the activation of the perceptrons.
    eps: the number added to variances in the layer norms.
    dropout: rate after the embedding and at the end of each branch, in [0, 1).
    attention_dropout: rate on attention's weights, in [0, 1).
    init_std: standard deviation of the normal distribution that weights start from; those that end
      a branch start from one narrower by sqrt(2 num_layers).
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for arguments that do not fit together.

  Reference: Radford et al. 2019, section 2.3. The head is the table of tokens.
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
    pool: Pool = "last",
    activation: Activation = "gelu_tanh",
    eps: PositiveFloat = 1e-5,
    dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.vocab_size, self.max_length, self.embed_dim = vocab_size, max_length, embed_dim
    self.pool, self.dropout = pool, dropout
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
      dropout=dropout,
      inner_dropout=0.0,
      attention_dropout=attention_dropout,
      kernel_init=init,
      out_init=nnx.initializers.normal(residual_std(init_std, num_layers)),
      dtype=dtype,
    )
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)

  def _embed(self, tokens, positions) -> Float[Array, "B T D"]:
    places = embed(self.position_table[...], positions, dtype=self.dtype)
    return super()._embed(tokens, positions) + places

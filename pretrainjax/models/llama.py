"""The Llama family: RMS norms, gated perceptrons, rotary positions, grouped heads, few biases."""

from typing import Literal, NamedTuple

from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.causal import CausalModel, residual_std
from pretrainjax.models.layers.embedding import Pool
from pretrainjax.models.layers.norm import RMSNorm
from pretrainjax.models.layers.rotary import rotary_angles
from pretrainjax.models.layers.scope import Rotary
from pretrainjax.models.layers.stack import Remat, make_stack
from pretrainjax.models.sizes import named_size
from pretrainjax.ranges import FewInt, NonNegativeFloat, PositiveFloat, PositiveInt, Rate, ranged


class Size(NamedTuple):
  """The sizes of a Llama that the name of a size stands for."""

  embed_dim: int
  num_layers: int
  num_heads: int
  num_kv_heads: int
  mlp_dim: int
  tied: bool


SIZES = {
  "smollm_135m": Size(576, 30, 9, 3, 1536, True),  # HuggingFaceTB/SmolLM-135M, config.json
  "smollm_360m": Size(960, 32, 15, 5, 2560, True),  # HuggingFaceTB/SmolLM-360M, config.json
  "tiny_1b": Size(2048, 22, 32, 4, 5632, False),  # TinyLlama, arXiv 2401.02385, table 2
  "3_1b": Size(2048, 16, 32, 8, 8192, True),  # meta-llama/Llama-3.2-1B, config.json
  "7b": Size(4096, 32, 32, 32, 11008, False),  # LLaMA, arXiv 2302.13971, table 2
  "3_8b": Size(4096, 32, 32, 8, 14336, False),  # Llama 3, arXiv 2407.21783, table 3
}


def llama_size(name: str) -> dict[str, int | bool]:
  """The arguments of `Llama` that a size such as "smollm_135m" stands for.

  Raises:
    ValueError: for a name that is none.

  >>> llama_size("smollm_135m")["num_kv_heads"], llama_size("7b")["tied"]
  (3, False)
  """
  return named_size(name, SIZES)


class Llama(CausalModel):
  """A causal transformer with rotary positions: each token sees itself and what comes before.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest row.
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of heads of queries; must divide embed_dim unless `head_dim` is given.
    num_kv_heads: number of heads of keys and values, a divisor of num_heads; None is num_heads.
    mlp_dim: width inside the perceptrons.
    head_dim: width of one head, an even number; None is embed_dim / num_heads.
    qkv_bias: whether queries, keys and values have a bias (Qwen2).
    qk_norm: whether each head's queries and keys are normalised (Qwen3).
    window: tokens see at most so many places before theirs, one less than what Hugging Face calls
      a sliding window (Mistral); None is no limit.
    tied: whether the table of tokens is the head too.
    pool: what `pooled` is; the last token is the only one that has seen all.
    theta: base of the rotary wavelengths: 10,000 in Llama 1 and 2, 500,000 in 3.
    eps: the number added to mean squares in the norms: 1e-6 in Llama 1, 1e-5 since.
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

  Reference: arXiv 2302.13971, section 2.2; grouped heads since arXiv 2307.09288; 2310.06825
  (Mistral); 2407.10671 (Qwen2); 2505.09388 (Qwen3). Initial values are GPT-2's, as
  the papers are silent. Ours lacks the stretched wavelengths of Llama 3.1.
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
    num_kv_heads: PositiveInt | None = None,
    mlp_dim: PositiveInt,
    head_dim: PositiveInt | None = None,
    qkv_bias: bool = False,
    qk_norm: bool = False,
    window: PositiveInt | None = None,
    tied: bool = False,
    pool: Pool = "last",
    theta: PositiveFloat = 10_000.0,
    eps: PositiveFloat = 1e-5,
    dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    if head_dim is not None and head_dim % 2:
      raise ValueError(f"head_dim={head_dim}: expected an even number")
    if head_dim is None and embed_dim % (2 * num_heads):
      raise ValueError(f"num_heads={num_heads}: expected a divisor of embed_dim / 2, {embed_dim}/2")
    self.vocab_size, self.max_length, self.embed_dim = vocab_size, max_length, embed_dim
    self.pool, self.dropout, self.theta, self.window = pool, dropout, theta, window
    self.head_dim = embed_dim // num_heads if head_dim is None else head_dim
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    init = nnx.initializers.normal(init_std)
    table = (vocab_size, embed_dim)
    self.token_embedding = nnx.Param(init(rngs.params(), table))
    self.output_embedding = None if tied else nnx.Param(init(rngs.params(), table))
    heads = {"num_heads": num_heads, "num_kv_heads": num_kv_heads, "head_dim": head_dim}
    heads |= {"qkv_bias": qkv_bias, "qk_norm": qk_norm}
    self.blocks = make_stack(
      num_layers,
      rngs=rngs,
      embed_dim=embed_dim,
      **heads,
      mlp_dim=mlp_dim,
      eps=eps,
      norm="rms",
      activation="silu",
      gated=True,
      use_bias=False,
      dropout=dropout,
      inner_dropout=0.0,
      attention_dropout=attention_dropout,
      kernel_init=init,
      out_init=nnx.initializers.normal(residual_std(init_std, num_layers)),
      dtype=dtype,
    )
    self.norm = RMSNorm(embed_dim=embed_dim, eps=eps)

  @property
  def output_table(self) -> Float[Array, "V D"]:
    """The table of the output: its own one, or that of the tokens where they are tied."""
    table = self.output_embedding
    return self.token_embedding[...] if table is None else table[...]

  def _rotary(self, positions) -> Rotary:
    return rotary_angles(positions, head_dim=self.head_dim, theta=self.theta)
